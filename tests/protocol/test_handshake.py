"""Which HTTP requests become sockets."""

from collections.abc import Callable

import pytest

from parley.handshake import Answer, answer, asked


def request(line: str = "GET /graphql HTTP/1.1", **changes: str | None) -> bytes:
    """Return a good request, but for the changes; None leaves a header out."""
    headers = {
        "host": "chat.example",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "graphql-transport-ws",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def to(
    data: bytes,
    *,
    allowed: tuple[str, ...] = (),
    is_refusing: bool = False,
    has_seat: Callable[[], bool] = lambda: True,
) -> Answer:
    return answer(
        asked(data),
        path="/graphql",
        request_id="the-request",
        allowed_origins=allowed,
        is_refusing=is_refusing,
        has_seat=has_seat,
    )


def status(reply: Answer) -> int:
    return int(reply.data.split(b" ")[1])


def test_a_good_request_is_accepted_with_the_key_of_the_rfc() -> None:
    reply = to(request())

    assert (status(reply), reply.is_accepted, reply.speaks_protocol) == (101, True, True)
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in reply.data
    assert b"\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n" in reply.data
    assert b"Extensions" not in reply.data


@pytest.mark.parametrize("offered", [None, "", "graphql-ws", "Graphql-Transport-WS"])
def test_another_subprotocol_is_accepted_to_be_closed_with_a_reason(offered: str | None) -> None:
    reply = to(request(sec_websocket_protocol=offered))

    assert (status(reply), reply.is_accepted, reply.speaks_protocol) == (101, True, False)
    assert b"Sec-WebSocket-Protocol" not in reply.data


def test_the_subprotocol_is_found_among_others_and_in_several_lines() -> None:
    repeated = (
        request(sec_websocket_protocol="graphql-ws")[:-2] + b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    )

    assert to(request(sec_websocket_protocol="graphql-ws, graphql-transport-ws")).speaks_protocol
    assert to(repeated).speaks_protocol


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request("GET / HTTP/1.1"), 404),
        (request("GET /graphql/ HTTP/1.1"), 404),
        (request("POST /graphql HTTP/1.1"), 400),
        (request(sec_websocket_key=None), 400),
        (request(sec_websocket_key="c2hvcnQ="), 400),
        (request(sec_websocket_key="not base64 at all, no!!!"), 400),
        (request(sec_websocket_key="é" * 24), 400),
        (request(sec_websocket_version="8"), 426),
        (request(sec_websocket_version=None), 426),
        (request(origin="https://evil.example"), 403),
        (request(origin="null"), 403),
        (b"", 404),
        (b"GET", 404),
    ],
)
def test_a_bad_request_is_refused(data: bytes, expected: int) -> None:
    reply = to(data)

    assert (status(reply), reply.is_accepted) == (expected, False)
    assert b"\r\nConnection: close\r\n" in reply.data


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://chat.example", ()),
        ("https://chat.example", ()),
        ("https://app.example", ("https://app.example",)),
        ("https://app.example", ("*",)),
    ],
)
def test_pages_of_this_host_and_of_allowed_origins_may_connect(origin: str, allowed: tuple[str, ...]) -> None:
    assert to(request(origin=origin), allowed=allowed).is_accepted


def test_a_query_string_changes_nothing() -> None:
    assert to(request("GET /graphql?a=b HTTP/1.1")).is_accepted


def test_a_draining_process_refuses_new_sockets() -> None:
    assert status(to(request(), is_refusing=True)) == 503


def test_whoever_has_too_many_sockets_open_is_told_when_to_try_again() -> None:
    reply = to(request(), has_seat=lambda: False)

    assert (status(reply), reply.is_accepted) == (429, False)
    assert b"\r\nRetry-After: 5\r\n" in reply.data


def test_only_what_would_become_a_socket_takes_a_seat() -> None:
    taken: list[bool] = []

    def seat() -> bool:
        taken.append(True)
        return True

    for data in (request("GET /else HTTP/1.1"), request(origin="https://evil.example"), request(sec_websocket_key="x")):
        to(data, has_seat=seat)
    to(request(), is_refusing=True, has_seat=seat)

    assert taken == []
