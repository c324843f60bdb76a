"""What logs may say of exceptions."""

import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog
from pydantic import BaseModel, ValidationError
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from parley import logs
from parley.requests import EXCEPTION_HANDLERS, Requests
from services.failures import described


class Model(BaseModel):
    number: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        Model.model_validate({"number": "secret"})
    return raised.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("secret"), "ValueError"),
        (KeyError("secret"), "KeyError"),
        (UnicodeDecodeError("utf-8", b"secret", 0, 1, "bad"), "UnicodeDecodeError"),
        (DuplicateKeyError("secret", 11_000, {"keyValue": "secret"}), "DuplicateKeyError: code 11000"),
        (BulkWriteError({"writeErrors": [{"op": {"body": "secret"}}]}), "BulkWriteError: code 65"),
        (invalid(), "ValidationError: Model: number: int_parsing"),
        (AutoReconnect("mongo:27017: closed"), "AutoReconnect: mongo:27017: closed"),
        (RuntimeError("the event loop is closed"), "RuntimeError: the event loop is closed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_is_described_without_values(error: Exception, expected: str) -> None:
    assert described(error) == expected


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Have this process log as a server does, for one test."""
    handlers, level, aiokafka = logging.root.handlers[:], logging.root.level, logging.getLogger("aiokafka").level
    before = structlog.get_config()
    stream = io.StringIO()
    logs.configure(stream=stream)
    yield stream
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.getLogger("aiokafka").setLevel(aiokafka)


def test_a_logged_exception_shows_its_stack_and_what_led_to_it_but_no_value(written: io.StringIO) -> None:
    def fail() -> None:
        try:
            int("secret")
        except ValueError as error:
            raise KeyError("secret") from error

    try:
        fail()
    except KeyError:
        structlog.get_logger().exception("it.failed", request_id="the-request")

    line = json.loads(written.getvalue())
    assert (line["event"], line["level"], line["request_id"]) == ("it.failed", "error", "the-request")
    assert "in fail" in line["exception"]
    assert "ValueError" in line["exception"]
    assert "KeyError" in line["exception"]
    # The stack quotes lines of code, and the code of this test has the word in it.
    assert "secret" not in line["exception"].replace('int("secret")', "").replace('KeyError("secret")', "")


def test_what_libraries_log_is_a_line_as_well(written: io.StringIO) -> None:
    try:
        int("secret value"[0:6])
    except ValueError as error:
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: secret", exc_info=error)

    line = json.loads(written.getvalue())
    assert (line["event"], line["logger"]) == ("Task exception was never retrieved", "asyncio")
    assert "future" not in written.getvalue()
    assert "ValueError" in line["exception"]


async def test_a_plain_route_that_fails_is_masked_and_logged_once(written: io.StringIO) -> None:
    async def fail(request: Request) -> Response:
        return Response(str(int(request.query_params["number"])))

    inner = Requests(Starlette(routes=[Route("/plain", fail)], exception_handlers=EXCEPTION_HANDLERS), ())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "state": {}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/plain?number=secret")

    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (500, "INTERNAL")
    assert error["extensions"]["requestId"] == answer.headers["x-request-id"]
    (line,) = map(json.loads, written.getvalue().splitlines())
    assert (line["event"], line["request_id"]) == ("request.failed", answer.headers["x-request-id"])
    assert "secret" not in answer.text + line["exception"]
