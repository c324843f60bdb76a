"""What clients get through nginx when nothing is wrong."""

import asyncio
import re
import ssl
import uuid

import httpx
import orjson
import pytest

from tests.checker.history import History
from tests.clients import SEND, Api, Json, Socket
from tests.deploy.nginx import Nginx
from tests.faults.harness import Room, until
from tests.stack_process import StackProcess

INSTANCE = "{ health { instance } }"


async def instance_of(api: Api) -> str:
    response = await api.http.get(f"{api.url}/graphql", params={"query": INSTANCE})
    content: Json = response.json()
    return str(content["data"]["health"]["instance"])


async def test_requests_are_spread_over_all_processes(api: Api) -> None:
    found = await asyncio.gather(*(instance_of(api) for _ in range(60)))

    assert len(set(found)) == 3
    assert min(map(found.count, set(found))) >= 5


async def test_a_mutation_and_a_subscription_pass(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        sent = await ann.send(conversation["id"], "through")
        update = await updates.update()

    assert update["message"]["id"] == sent["message"]["id"]


async def test_a_socket_goes_on_over_a_reload_and_the_next_one_resumes_by_its_cursor(api: Api, nginx: Nginx) -> None:
    ann = await api.register()
    room = await Room.open([api], History(), ann)
    bodies: list[str] = []

    async with ann.socket() as socket:
        updates = await socket.updates(room.conversation)
        (caught_up,) = [await updates.update()]
        cursor = caught_up["cursor"]
        old = nginx.reload()
        # New workers take the requests, the old one keeps the socket, until worker_shutdown_timeout. It closes
        # connections that are kept alive, now and then while a request is on its way: that one has to be sent again.
        for number in range(5):
            await room.say(ann, f"{number}")
            update = await updates.update()
            bodies.append(update["message"]["body"])
            cursor = update["cursor"]
        end = await updates.message()
    await until(lambda: not nginx.workers() & old, "the old workers are gone", 60)
    for number in range(5, 8):
        await room.say(ann, f"{number}")
    async with ann.socket() as socket:
        updates = await socket.updates(room.conversation, cursor)
        bodies += [update["message"]["body"] for update in await updates.until_caught_up()]

    assert end["type"] == "closed"
    assert bodies == [f"{number}" for number in range(8)]


async def test_a_request_has_an_id_which_is_the_clients_where_that_is_plain(api: Api) -> None:
    given = "client-id_1.2"
    headers = [
        (await api.http.get(f"{api.url}/health/live", headers=headers)).headers.get_list("x-request-id")
        for headers in ({}, {"x-request-id": given}, {"x-request-id": 'x" y\tz-and more'}, {"x-request-id": "short"})
    ]

    assert [len(values) for values in headers] == [1, 1, 1, 1]
    assert headers[1] == [given]
    for made in (headers[0][0], headers[2][0], headers[3][0]):
        assert re.fullmatch(r"[0-9a-f]{32}", made)


async def test_the_log_of_the_api_knows_a_request_by_its_id(api: Api, replicas: StackProcess) -> None:
    ann = await api.register()
    request_id = uuid.uuid4().hex

    def is_logged() -> bool:
        return any(request_id in log.read_text() for log in (replicas.directory / "logs").glob("api*"))

    with replicas.stopped("mongo"):
        response = await api.http.post(
            f"{api.url}/graphql",
            json={"query": "{ viewer { sessions { id } } }"},
            headers={"authorization": f"Bearer {ann.token}", "x-request-id": request_id},
        )

    # Each of them works again before others ask: for a second it goes on to refuse what needs MongoDB.
    for url in replicas.urls:
        async with Api(url) as replica:
            await replica.register()
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    await until(is_logged, "the id is in the log")


async def test_one_id_leads_from_the_access_log_to_each_job_of_the_worker(
    api: Api, nginx: Nginx, replicas: StackProcess
) -> None:
    ann = await api.register()
    conversation, request_id = (await ann.talk())["id"], uuid.uuid4().hex
    message = {"conversationId": conversation, "body": "Whose is it?", "clientMessageId": "1"}
    response = await api.http.post(
        f"{api.url}/graphql",
        json={"query": SEND, "variables": {"input": message}},
        headers={"authorization": f"Bearer {ann.token}", "x-request-id": request_id},
    )
    assert response.json()["data"]["sendMessage"]["userErrors"] == []

    def jobs() -> set[str]:
        logs = (replicas.directory / "logs").glob("worker*")
        lines = [orjson.loads(line) for log in logs for line in log.read_text().splitlines() if request_id in line]
        return {line["job"] for line in lines if line["event"] == "job.handled"}

    await until(lambda: jobs() == {"activity", "push", "search"}, "each job names the request")
    assert request_id in {line["request_id"] for line in nginx.lines()}


@pytest.mark.parametrize(("path", "name"), [("/graphql", "graphiql"), ("/", "app"), ("/ops", "ops")])
async def test_parts_of_the_pages_are_kept_by_browsers_and_by_nginx(
    api: Api, nginx: Nginx, path: str, name: str
) -> None:
    page = await api.http.get(api.url + path, headers={"accept": "text/html"})
    found = re.search(rf'src="(/{name}/assets/[^"]+)"', page.text)
    assert found is not None
    asset = found[1]

    first, second = [await api.http.get(f"{api.url}{asset}") for _ in range(2)]
    # The line of a request is written when its answer has gone.
    await until(lambda: sum(line["path"] == asset for line in nginx.lines()) >= 2, "two lines")
    asked = [line for line in nginx.lines() if line["path"] == asset]

    assert page.headers["cache-control"] == "no-cache"
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert first.headers["content-encoding"] == "gzip"
    assert second.content == first.content
    assert second.headers["cache-control"] == first.headers["cache-control"]
    assert asked[-2]["upstream"] != ""
    assert asked[-1]["upstream"] == ""


async def test_a_part_that_does_not_exist_is_not_found(api: Api) -> None:
    response = await api.http.get(f"{api.url}/graphiql/assets/nothing.js")

    assert response.status_code == 404
    assert "immutable" not in response.headers.get("cache-control", "")


async def test_long_answers_are_compressed(api: Api) -> None:
    query = {"query": "{ __schema { types { name description } } }"}

    response = await api.http.get(f"{api.url}/graphql", params=query)

    assert response.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in response.headers["vary"]
    assert response.json()["data"]["__schema"]["types"]


async def test_health_is_passed_on(api: Api) -> None:
    answers = [await api.http.get(f"{api.url}{path}") for path in ("/health", "/health/live", "/health/ready")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json()["status"] == "HEALTHY"


async def test_nothing_says_which_nginx_it_is(api: Api) -> None:
    answers = [await api.http.get(f"{api.url}{path}") for path in ("/health/live", "/nowhere")]

    assert {answer.headers["server"] for answer in answers} == {"nginx"}


async def test_tls_works_and_asks_browsers_to_stay_with_it(nginx: Nginx) -> None:
    context = ssl.create_default_context(cafile=str(nginx.certificate))
    async with httpx.AsyncClient(verify=context) as client:
        answer = await client.get(f"{nginx.tls_url}/health/live")
    async with httpx.AsyncClient() as client:
        plain = await client.get(f"{nginx.url}/health/live")

    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in plain.headers


async def test_a_page_may_open_a_socket_to_where_it_came_from_and_to_no_other_place(api: Api, nginx: Nginx) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    async def status(origin: str) -> int:
        try:
            async with connect(api.socket_url, origin=origin, subprotocols=["graphql-transport-ws"]):  # type: ignore[arg-type,list-item]
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert await status(nginx.url) == 101
    assert await status("http://elsewhere") == 403


async def test_a_socket_without_a_token_may_ask_for_health(api: Api) -> None:
    async with Socket.open(api, None) as socket:
        running = await socket.start(INSTANCE)
        message = await running.message()

    assert message["payload"]["data"]["health"]["instance"]
