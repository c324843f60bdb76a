"""API processes that stop, die or misbehave behind nginx: who may repeat a request loses nothing."""

import asyncio
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from parley.stack.stack import free_port
from tests.checker.history import History
from tests.clients import Api, Json, Person
from tests.deploy.nginx import Nginx, running_nginx
from tests.deploy.programs import program
from tests.faults.harness import Room, judge, until
from tests.stack_process import StackProcess

TALKERS = 4
ASK_PAUSE_SECONDS = 0.02
HEAD = "query ($id: ID!) { conversation(id: $id) { lastSequence } }"
QUESTION = {"query": "{ health { instance } }"}
UNAVAILABLE = {"code": "UNAVAILABLE", "retryable": True, "retryAfterMs": 1000}


async def ask_all_the_time(person: Person, conversation: str, done: Callable[[], bool], seen: Counter[int]) -> None:
    """Ask by GET, which may be repeated by whoever passes it on, and never repeat it here."""
    api = person.api
    parameters = {"query": HEAD, "variables": f'{{"id": "{conversation}"}}'}
    while not done():
        response = await api.http.get(
            f"{api.url}/graphql", params=parameters, headers={"authorization": f"Bearer {person.token}"}
        )
        seen[response.status_code] += 1
        if response.status_code == 200:
            assert response.json()["data"]["conversation"]["lastSequence"] >= 1
        await asyncio.sleep(ASK_PAUSE_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
async def test_no_query_is_lost_and_every_message_is_stored_once_while_one_process_ends(
    replicas: StackProcess, nginx: Nginx, signal: str
) -> None:
    end = replicas.restart_part if signal == "SIGTERM" else replicas.kill_part
    history, seen, said = History(), Counter[int](), Counter[str]()
    async with Api(nginx.url) as api:
        api.http.headers["x-forwarded-for"] = f"198.51.100.{200 if signal == 'SIGTERM' else 201}"
        people = [await api.register() for _ in range(TALKERS)]
        room = await Room.open([api], history, *people)
        for person in people[:2]:
            room.listen(person)
        ended = False

        async def talk(person: Person) -> None:
            while not ended:
                await room.say(person, "word", uuid.uuid4().hex)
                said[person.id] += 1

        # Each has an address, because together they are faster than one client may be.
        async with asyncio.TaskGroup() as tasks:
            clients = [Api(nginx.url) for _ in people]
            for number, (client, person) in enumerate(zip(clients, people, strict=True)):
                client.http.headers["x-forwarded-for"] = f"198.51.101.{number + (0 if signal == 'SIGTERM' else 100)}"
                tasks.create_task(ask_all_the_time(person.at(client), room.conversation, lambda: ended, seen))
            for person in people[:2]:
                tasks.create_task(talk(person))
            for index in range(len(replicas.urls)):
                await asyncio.to_thread(end, "api", index)
                await back(nginx, replicas.urls[index])
            ended = True
        for client in clients:
            await client.http.aclose()
        report = await judge([room], people[0])

    assert set(seen) == {200}, [line for line in nginx.lines() if line["status"] >= 500]
    assert min(said.values()) >= 5
    assert report.acknowledged == sum(said.values())


async def back(nginx: Nginx, url: str) -> None:
    """Wait until nginx gives requests to a process again, as a rolling restart does before it ends the next."""
    server, before = url.removeprefix("http://"), len(nginx.lines())
    await until(
        lambda: any(line["upstream"] == server and line["status"] == 200 for line in nginx.lines()[before:]), "back"
    )


@dataclass(slots=True)
class Backend:
    """A server that answers every request in one way, or closes the connection."""

    answer: bytes  # empty: none
    port: int = 0
    methods: list[str] = field(default_factory=list)  # of the requests that came

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Backend"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.methods.append((await reader.readuntil(b"\r\n\r\n")).decode().partition(" ")[0])
            writer.write(self.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def response(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode()


@asynccontextmanager
async def before(*servers: str) -> AsyncIterator[Api]:
    program("nginx")
    with running_nginx(*servers) as nginx:
        async with Api(nginx.url) as api:
            yield api


async def post(api: Api) -> httpx.Response:
    return await api.http.post(f"{api.url}/graphql", json=QUESTION)


def is_unavailable(answer: httpx.Response, status: int) -> bool:
    content: Json = answer.json()
    (error,) = content["errors"]
    return bool(
        answer.status_code == status
        and error["extensions"] == UNAVAILABLE
        and answer.headers["content-type"] == "application/json"
        and answer.headers["retry-after"] == "1"
    )


async def test_a_post_that_may_have_been_executed_is_never_sent_again() -> None:
    async with (
        Backend(b"").running() as one,
        Backend(b"").running() as two,
        before(one.address, two.address) as api,
    ):
        answer = await post(api)

    assert is_unavailable(answer, 502)
    assert one.methods + two.methods == ["POST"]


async def test_a_get_is_tried_at_the_next_process() -> None:
    async with (
        Backend(b"").running() as silent,
        Backend(response("200 OK")).running() as well,
        before(silent.address, well.address) as api,
    ):
        answers = [await api.http.get(f"{api.url}/graphql", params=QUESTION) for _ in range(6)]

    assert {answer.status_code for answer in answers} == {200}
    assert silent.methods
    assert len(well.methods) == 6


async def test_a_post_whose_connection_was_refused_goes_to_the_next_process() -> None:
    async with Backend(response("200 OK")).running() as well, before(f"127.0.0.1:{free_port()}", well.address) as api:
        answers = [await post(api) for _ in range(10)]

    assert {answer.status_code for answer in answers} == {200}
    assert well.methods == ["POST"] * 10


async def test_a_socket_that_a_stopping_process_refuses_is_opened_at_the_next() -> None:
    async with (
        Backend(response("503 Service Unavailable")).running() as stopping,
        Backend(response("426 Upgrade Required")).running() as well,
        before(stopping.address, well.address) as api,
    ):
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        answers = [await api.http.get(f"{api.url}/graphql", headers=headers) for _ in range(4)]

    assert {answer.status_code for answer in answers} == {426}
    assert stopping.methods


async def test_without_any_process_clients_hear_that_they_may_try_again() -> None:
    async with before(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}") as api:
        answers = [await post(api) for _ in range(5)]

    assert all(is_unavailable(answer, 502) for answer in answers)


async def test_who_comes_without_tls_is_sent_to_it() -> None:
    with running_nginx(f"127.0.0.1:{free_port()}", site="tls") as nginx:
        context = ssl.create_default_context(cafile=str(nginx.certificate))
        async with httpx.AsyncClient(verify=context) as client:
            plain = await client.post(f"{nginx.url}/graphql?a=b", json=QUESTION)
            secure = await client.post(f"{nginx.tls_url}/graphql", json=QUESTION)

    assert (plain.status_code, plain.headers["location"]) == (308, "https://127.0.0.1/graphql?a=b")
    assert is_unavailable(secure, 502)


async def test_behind_something_that_ends_tls_nginx_serves_without() -> None:
    with running_nginx(f"127.0.0.1:{free_port()}", site="plain") as nginx:
        async with Api(nginx.url) as api:
            answer = await post(api)

    assert is_unavailable(answer, 502)
