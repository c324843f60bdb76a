"""What a request over HTTP asks for: its parts, whether they come in a body or in a URL; nothing is run here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope

from parley.media_types import is_json

BODY_BYTES: Final = 256 * 1024
_STRINGS: Final = ("query", "operationName", "documentId")
_OBJECTS: Final = ("variables", "extensions")

type JsonObject = dict[str, Any]


class Unreadable(Exception):
    """A request cannot be read: why, as an HTTP status and an error for the client."""

    def __init__(self, message: str, status: int = 400, code: str = "BAD_USER_INPUT") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Asked:
    """A GraphQL request."""

    query: str | None  # None where it names a document
    variables: JsonObject | None
    operation_name: str | None
    extensions: JsonObject | None = None
    document_id: str | None = None


def headers(scope: Scope) -> dict[str, str]:
    """Return a request's headers; one that comes several times is one, with commas."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def parameters(scope: Scope) -> JsonObject:
    """Return the parts of a request that are in its URL.

    Raises:
        Unreadable: one of them comes twice.
    """
    found: JsonObject = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name in (*_STRINGS, *_OBJECTS) and name in found:
            raise Unreadable(f"`{name}` comes twice.")
        found[name] = value
    return found


def in_url(found: JsonObject) -> Asked:
    """Return what is asked for in a URL.

    Raises:
        Unreadable: that is no request.
    """
    content = dict(found)
    for name in _OBJECTS:
        if name in content:
            try:
                content[name] = orjson.loads(content[name])
            except orjson.JSONDecodeError:
                raise Unreadable(f"`{name}` is not JSON.") from None
    return _asked(content)


async def in_body(sent: Mapping[str, str], receive: Receive) -> Asked:
    """Return what is asked for in a body, given the request's headers.

    Raises:
        Unreadable: that is no request.
    """
    if not is_json(sent.get("content-type", "")):
        raise Unreadable("Send the request as application/json, in UTF-8.", 415)
    if sent.get("content-encoding", "identity").strip().lower() != "identity":
        raise Unreadable("Send the request without compression.", 415)
    try:
        content = orjson.loads(await _body(sent, receive))
    except orjson.JSONDecodeError:
        raise Unreadable("The body is not JSON, or nested too deeply.") from None
    return _asked(content)


async def _body(sent: Mapping[str, str], receive: Receive) -> bytes:
    """Return the body, or give up as soon as it proves to be too large."""
    length = sent.get("content-length", "")
    is_too_large = length.isdecimal() and len(length) < 20 and int(length) > BODY_BYTES
    chunks, size, has_more = list[bytes](), 0, True
    while has_more and not is_too_large:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unreadable("The request has no end.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        is_too_large, has_more = size > BODY_BYTES, message.get("more_body", False)
    if is_too_large:
        raise Unreadable("The request is too large: at most 256 KiB.", 413, "PAYLOAD_TOO_LARGE")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _asked(content: object) -> Asked:
    if not isinstance(content, dict):
        raise Unreadable("The request is not a JSON object; batches are not accepted.")
    query, name, document_id = (_part(content, part, str, "a string") for part in _STRINGS)
    variables, extensions = (_part(content, part, dict, "an object") for part in _OBJECTS)
    if query is None and document_id is None and not extensions:
        raise Unreadable("`query` must be a string.")
    return Asked(query, variables, name or None, extensions, document_id)


def _part(content: JsonObject, name: str, kind: type, called: str) -> Any:
    value = content.get(name)
    if value is not None and not isinstance(value, kind):
        raise Unreadable(f"`{name}` must be {called}.")
    return value
