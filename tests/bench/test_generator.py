"""The generator, against a server that does not keep its promises: whatever is wrong must be in its figures."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from parley.stack.probes import HOST
from tests.bench import generator

SUBSCRIBERS = 3
EVENTS = 10

type Message = dict[str, Any]
# What a subscriber, by its index, gets of an event, by its place from 0.
type Deliver = Callable[[int, int, Message], list[Message]]


class Room:
    """A server that delivers as it is told."""

    def __init__(self, deliver: Deliver) -> None:
        self.sequence = 0
        self._deliver = deliver
        self._clients: list[tuple[WebSocket, str]] = []

    async def subscribe(self, client: WebSocket) -> None:
        await client.accept("graphql-transport-ws")
        await client.receive_json()
        await client.send_json({"type": "connection_ack"})
        self._clients.append((client, (await client.receive_json())["id"]))
        with contextlib.suppress(WebSocketDisconnect):
            await client.receive_json()

    async def send(self, request: Request) -> JSONResponse:
        body = (await request.json())["variables"]["input"]["body"]
        self.sequence += 1
        update = {"sequence": self.sequence, "message": {"body": body}}
        for index, (client, operation) in enumerate(self._clients):
            for delivered in self._deliver(index, self.sequence, update):
                await client.send_json(
                    {"id": operation, "type": "next", "payload": {"data": {"messageSent": delivered}}}
                )
        return JSONResponse({"data": {"sendMessage": {"id": "any"}}})


@contextlib.asynccontextmanager
async def serving(room: Room) -> AsyncIterator[Message]:
    """Serve it, and give what the generator must know of it."""
    routes = [Route("/graphql", room.send, methods=["POST"]), WebSocketRoute("/graphql", room.subscribe)]
    config = uvicorn.Config(Starlette(routes=routes), ws="websockets-sansio", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    with socket.create_server((HOST, 0)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield {
                "url": f"http://{HOST}:{listener.getsockname()[1]}/graphql",
                "protocol": "graphql",
                "subscription": "subscription { messageSent { sequence } }",
                "mutation": "mutation { sendMessage { id } }",
            }
        finally:
            server.should_exit = True
            await task


async def counted(deliver: Deliver) -> Message:
    """Return what the generator counts of EVENTS events to SUBSCRIBERS subscribers."""

    def drive(server: Message) -> Message:
        with generator.running(server, print, stalled_seconds=0.5) as clients:
            clients.connect(SUBSCRIBERS)
            clients.warm(1)
            return clients.publish(EVENTS)

    async with serving(Room(deliver)) as server:
        return await asyncio.to_thread(drive, server)


async def test_a_server_that_keeps_its_promises_has_no_faults() -> None:
    found = await counted(lambda _index, _sequence, update: [update])

    assert (found["delivered"], found["lost"], found["doubled"], found["disordered"]) == (SUBSCRIBERS * EVENTS, 0, 0, 0)
    assert found["strange"] == 0


async def test_a_dropped_delivery_is_lost_and_leaves_a_hole() -> None:
    found = await counted(lambda index, sequence, update: [] if (index, sequence) == (1, 5) else [update])

    assert (found["delivered"], found["lost"]) == (SUBSCRIBERS * EVENTS - 1, 1)
    assert (found["doubled"], found["disordered"]) == (0, 1)


async def test_a_repeated_delivery_is_doubled() -> None:
    found = await counted(lambda index, sequence, update: [update] * (2 if (index, sequence) == (2, 5) else 1))

    assert (found["delivered"], found["lost"], found["doubled"]) == (SUBSCRIBERS * EVENTS, 0, 1)


async def test_deliveries_that_change_places_are_disordered() -> None:
    held: list[Message] = []

    def deliver(index: int, sequence: int, update: Message) -> list[Message]:
        if (index, sequence) == (0, 5):
            held.append(update)
            return []
        return [update, *(held.pop() for _ in held[:1] if index == 0)]

    found = await counted(deliver)

    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["disordered"] == 3  # the one that came early, the one that came late, and the one after


async def test_a_message_that_nobody_asked_for_is_strange() -> None:
    found = await counted(lambda _index, sequence, update: [update, {"nonsense": True}] if sequence == 5 else [update])

    assert (found["lost"], found["strange"]) == (0, SUBSCRIBERS)
