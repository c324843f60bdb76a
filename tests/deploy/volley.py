"""Many requests that reach a server at one moment, however slow this machine is: each has its connection already."""

import asyncio
from urllib.parse import urlsplit

import httpx

SECONDS = 60.0


async def volley(url: str, requests: list[bytes], *, local_address: str = "127.0.0.1") -> list[httpx.Response]:
    """Send all at once, each on a connection of its own; return the answers in the order of the requests."""
    address = urlsplit(url)
    connections = [
        await asyncio.open_connection(address.hostname, address.port, local_addr=(local_address, 0)) for _ in requests
    ]
    try:
        for (_, writer), request in zip(connections, requests, strict=True):
            writer.write(request)
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*(_response(reader) for reader, _ in connections))
    finally:
        for _, writer in connections:
            writer.close()


def post(body: bytes, **headers: str) -> bytes:
    """Return a POST of an operation."""
    return _request("POST", {"content-type": "application/json", "content-length": f"{len(body)}", **headers}) + body


def opening(**headers: str) -> bytes:
    """Return a request to open a socket."""
    return _request(
        "GET",
        {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            "sec-websocket-version": "13",
            "sec-websocket-protocol": "graphql-transport-ws",
            **headers,
        },
    )


def _request(method: str, headers: dict[str, str]) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join([f"{method} /graphql HTTP/1.1", "host: parley", *lines]) + "\r\n\r\n").encode()


async def _response(reader: asyncio.StreamReader) -> httpx.Response:
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = httpx.Headers(
        [(name, value.strip()) for name, _, value in (field.partition(":") for field in lines if field)]
    )
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return httpx.Response(int(line.split()[1]), headers=headers, content=content)
