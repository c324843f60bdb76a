"""The one door for operations, over HTTP and over sockets: they are counted before anybody parses them."""

import math
import re

from parley.asked import Asked
from parley.documents import Documents
from parley.execution import Engine, Operation, RequestRefused
from services.errors import RateLimited
from services.limits import LIGHT_FIELDS, Allowance, Standing
from services.tokens import Claims

# A document without any of these words cannot be light; one that has some is looked at to be sure.
_LIGHT = re.compile(rf"\b(?:{'|'.join(sorted(LIGHT_FIELDS))})\b")


async def admitted(
    engine: Engine, documents: Documents, asked: Asked, claims: Claims | None, allowance: Allowance
) -> Operation:
    """Return the operation of a request when its caller may do one more.

    Raises:
        RateLimited: it is one too many.
        Overloaded: this process has too much to do for one that matters as much as this.
        RequestRefused: it is no operation that can be run.
    """
    try:
        meant = documents.meant(asked, claims)
    except RequestRefused:
        await allowance.enter(light=False)
        raise
    query, operation_name = meant.text, asked.operation_name
    known = engine.known(query, operation_name)
    if known is not None:
        if not is_light(known):  # else its fields count, and have payloads to say so
            await allowance.enter(light=False)
    else:
        await allowance.enter(light=_LIGHT.search(query) is not None)
    operation = engine.operation(query, operation_name)
    engine.load.admit(operation)
    documents.register(meant)
    if known is None and not is_light(operation):
        await allowance.enter_as_heavy()
    if not operation.is_mutation:  # mutations are counted where they can say so in their payloads
        for name in sorted(operation.fields):
            await allowance.take_field(name)
    return operation


def is_light(operation: Operation) -> bool:
    """Whether an operation counts in no other limit than that of light ones."""
    return operation.is_mutation and operation.fields <= LIGHT_FIELDS


def headers(used: dict[str, Standing], refused: RateLimited | None = None) -> dict[str, str]:
    """Return what an answer's headers say of limits (draft-ietf-httpapi-ratelimit-headers)."""
    if not used and refused is None:
        return {}
    found = {
        "ratelimit-policy": ", ".join(
            f'"{standing.bucket}";q={standing.limit};w={standing.window_seconds}' for standing in used.values()
        ),
        "ratelimit": ", ".join(
            f'"{standing.bucket}";r={standing.remaining};t={_seconds(standing.reset_in_ms)}'
            for standing in used.values()
        ),
    }
    if refused is not None:
        found["retry-after"] = str(_seconds(refused.retry_after_ms))
    return {name: value for name, value in found.items() if value}


def _seconds(milliseconds: int) -> int:
    return math.ceil(milliseconds / 1_000)
