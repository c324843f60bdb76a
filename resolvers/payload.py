"""What a mutation answers: the changed object, or why it was refused."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import strawberry

from services.errors import UserError, UserErrorCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """A user error as data: GraphQL would take the exception itself for a failure of the field."""

    code: UserErrorCode
    message: str
    path: list[str] | None


class Payload:
    """The fields of a mutation's payload; all null when it was refused."""

    user_errors: Sequence[Refusal] = ()

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> None:
        return None


def given(**fields: object) -> Any:
    """Return those fields of an input that the caller gave, null or not."""
    return {name: value for name, value in fields.items() if value is not strawberry.UNSET}


def not_null(**fields: object) -> Any:
    """Return those fields of an input that are not null, where null means the same as leaving out."""
    return {name: value for name, value in fields.items() if value is not None}


def refusable[**P](resolver: Callable[P, Awaitable[Payload]]) -> Callable[P, Awaitable[Payload]]:
    """Turn what the user can correct into the payload's `userErrors`."""

    @wraps(resolver)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> Payload:
        try:
            return await resolver(*args, **kwargs)
        except UserError as error:
            path = None if error.path is None else list(error.path)
            return Payload(user_errors=[Refusal(UserErrorCode(error.code), error.message, path)])

    return answer
