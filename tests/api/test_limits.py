"""Limits as clients meet them: over HTTP, on sockets, in payloads, and without Redis."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest

from parley.api import create_app
from services.config import Settings
from tests.clients import MARK_READ, PASSWORD, SEND, UPDATES, Api, Json, Socket
from tests.local_api import local_api
from tests.stack_process import StackProcess, running_stack

ROLES = "{ viewer { roles } }"
LIMITS = "{ viewer { rateLimits { bucket limit remaining windowSeconds resetAt } } }"
LOGIN = """mutation ($input: LoginInput!) { login(input: $input) {
  accessToken userErrors { __typename code message path ... on RateLimitError { bucket limit retryAfterMs } } } }"""
SEND_LIMITED = """mutation ($input: SendMessageInput!) { sendMessage(input: $input) {
  message { id } userErrors { __typename code path ... on RateLimitError { bucket limit retryAfterMs } } } }"""
MARK_LIMITED = """mutation ($input: MarkReadInput!) { markRead(input: $input) {
  member { readSequence } userErrors { __typename code ... on RateLimitError { bucket limit retryAfterMs } } } }"""
CAN_SEND = "query ($id: ID!) { conversation(id: $id) { viewerCanSend { allowed reason retryAfterMs } lastSequence } }"

_addresses = itertools.count(1)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley with three API processes, the usual limits, and tests in front of it that say who they are."""
    environment = {"PARLEY_RATE_LIMITS": "", "PARLEY_TRUSTED_PROXIES": "127.0.0.1"}
    with running_stack(tmp_path_factory.mktemp("limited"), replicas=3, environment=environment) as stack:
        yield stack


@dataclass
class House:
    """Clients behind one address, one for each process."""

    apis: list[Api]

    @property
    def api(self) -> Api:
        return self.apis[0]

    def move(self, address: str | None = None) -> str:
        """Take another address; return it."""
        number = next(_addresses)
        address = address or f"198.51.{number // 250}.{number % 250}"
        for api in self.apis:
            api.http.headers["x-forwarded-for"] = address
        return address


@pytest.fixture
async def house(limited: StackProcess) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        house = House([await stack.enter_async_context(Api(url)) for url in limited.urls])
        house.move()
        yield house


async def ask(api: Api, query: str, variables: Json | None = None, token: str | None = None) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return await api.http.post(f"{api.url}/graphql", json={"query": query, "variables": variables}, headers=headers)


async def connected(api: Api) -> None:
    """Wait until a process that has just started counts in Redis."""
    async with asyncio.timeout(10):
        status = None
        while status != "HEALTHY":
            await asyncio.sleep(0.05)
            status = (await api.http.get(f"{api.url}/health")).json()["status"]


def standing(response: Json, bucket: str) -> Json:
    found = {limit["bucket"]: limit for limit in response["data"]["viewer"]["rateLimits"]}
    limit: Json = found[bucket]
    return limit


async def test_three_processes_together_let_exactly_the_limit_through(house: House) -> None:
    ann = await house.api.register()

    answers = await asyncio.gather(*(ask(house.apis[n % 3], ROLES, token=ann.token) for n in range(200)))

    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 100}
    assert all(answer.json()["data"] for answer in answers if answer.status_code == 200)


async def test_a_refused_request_says_how_long_to_wait(house: House) -> None:
    ann = await house.api.register()
    first = await ask(house.api, ROLES, token=ann.token)
    await asyncio.gather(*(ask(house.api, ROLES, token=ann.token) for _ in range(99)))

    refused = await ask(house.api, ROLES, token=ann.token)

    assert first.headers["ratelimit-policy"] == '"api";q=100;w=60'
    assert first.headers["ratelimit"] == '"api";r=99;t=60'
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].startswith('"api";r=0;t=')
    (error,) = refused.json()["errors"]
    assert "data" not in refused.json()
    extensions = error["extensions"]
    assert (extensions["code"], extensions["retryable"]) == ("RATE_LIMITED", True)
    assert 0 < extensions["retryAfterMs"] <= int(refused.headers["retry-after"]) * 1_000


async def test_people_at_one_address_have_limits_of_their_own(house: House) -> None:
    ann, bob = await house.api.register(), await house.api.register()
    await asyncio.gather(*(ask(house.api, ROLES, token=ann.token) for _ in range(101)))

    assert (await ask(house.api, ROLES, token=ann.token)).status_code == 429
    assert (await ask(house.api, ROLES, token=bob.token)).status_code == 200


async def test_without_a_token_the_address_counts(house: House) -> None:
    health = "{ health { status } }"
    answers = await asyncio.gather(*(ask(house.apis[n % 3], health) for n in range(120)))
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 20}

    house.move()

    assert (await ask(house.api, health)).status_code == 200


async def test_all_of_an_ipv6_network_count_as_one(house: House) -> None:
    prefix = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"
    statuses = Counter[int]()
    for host in range(101):
        house.move(f"{prefix}::{host:x}")
        statuses[(await ask(house.api, "{ __typename }")).status_code] += 1
    house.move("2001:db8:ffff:fffe::1")

    assert statuses == {200: 100, 429: 1}
    assert (await ask(house.api, "{ __typename }")).status_code == 200


async def test_what_cannot_be_read_and_bad_tokens_count_too(house: House) -> None:
    async def bad(number: int) -> int:
        if number % 2:
            return (await ask(house.api, ROLES, token="bad")).status_code
        content = {"content": b"[", "headers": {"content-type": "application/json"}}
        return (await house.api.http.post(f"{house.api.url}/graphql", **content)).status_code  # type: ignore[arg-type]

    statuses = Counter(await asyncio.gather(*map(bad, range(120))))

    assert statuses[429] == 20
    assert statuses[400] + statuses[401] == 100


async def test_nobody_is_believed_who_is_no_trusted_proxy(stack: StackProcess) -> None:
    async with local_api(stack, rate_limits="api=3/60") as served, Api(served.url) as api:
        await connected(api)
        statuses: list[int] = []
        for number in range(5):
            api.http.headers["x-forwarded-for"] = f"203.0.113.{number}"
            statuses.append((await ask(api, "{ __typename }")).status_code)

    assert statuses == [200, 200, 200, 429, 429]


async def test_one_message_too_many_is_refused_in_the_payload_and_changes_nothing(house: House) -> None:
    ann = await house.api.register()
    conversation = await ann.talk()
    sent = await asyncio.gather(
        *(ann.at(house.apis[n % 3]).mutate(SEND, **_message(conversation, f"id{n}")) for n in range(30))
    )
    assert all(payload["message"] for payload in sent)

    refused = await ann.mutate(SEND_LIMITED, **_message(conversation, "one more"))
    again = await ann.at(house.apis[1]).mutate(SEND_LIMITED, **_message(conversation, "id7"))
    asked = (await ann.post(CAN_SEND, {"id": conversation["id"]}))["data"]["conversation"]

    assert refused["message"] is None
    (error,) = refused["userErrors"]
    assert (error["__typename"], error["code"]) == ("RateLimitError", "RATE_LIMITED")
    assert (error["bucket"], error["limit"]) == ("messages", 30)
    assert 0 < error["retryAfterMs"] <= 60_000
    assert again == {"message": {"id": sent[7]["message"]["id"]}, "userErrors": []}, "what is stored stays so"
    assert asked["lastSequence"] == 31
    assert asked["viewerCanSend"]["allowed"] is False
    assert asked["viewerCanSend"]["reason"]
    assert 0 < asked["viewerCanSend"]["retryAfterMs"] <= 60_000


def _message(conversation: Json, client_id: str) -> Json:
    return {"conversationId": conversation["id"], "body": client_id, "clientMessageId": client_id}


async def test_who_may_send_is_told_so(house: House) -> None:
    ann = await house.api.register()
    conversation = await ann.talk()

    asked = (await ann.post(CAN_SEND, {"id": conversation["id"]}))["data"]["conversation"]

    assert asked["viewerCanSend"] == {"allowed": True, "reason": None, "retryAfterMs": None}


async def test_light_operations_count_in_their_own_limit_only(house: House) -> None:
    ann = await house.api.register()
    conversation = await ann.talk()
    before = await ann.post(LIMITS)

    marks = await asyncio.gather(
        *(
            ann.at(house.apis[n % 3]).mutate(MARK_LIMITED, conversationId=conversation["id"], upToSequence=1)
            for n in range(120)
        )
    )
    refused = await ann.mutate(MARK_LIMITED, conversationId=conversation["id"], upToSequence=1)
    after = await ann.post(LIMITS)

    assert not any(payload["userErrors"] for payload in marks)
    (error,) = refused["userErrors"]
    assert (error["__typename"], error["bucket"], error["limit"]) == ("RateLimitError", "light", 120)
    assert standing(after, "light")["remaining"] == 0
    assert standing(before, "api")["remaining"] - standing(after, "api")["remaining"] == 1


async def test_a_light_document_that_nobody_knows_is_not_even_parsed_beyond_the_limit(house: House) -> None:
    ann = await house.api.register()

    async def mark(number: int) -> httpx.Response:
        given = f'{{ conversationId: "{number}", upToSequence: 1 }}'
        literal = f"mutation {{ markRead(input: {given}) {{ userErrors {{ code }} }} }}"
        return await ask(house.api, literal, token=ann.token)

    answers = await asyncio.gather(*map(mark, range(125)))

    assert Counter(answer.status_code for answer in answers) == {200: 120, 429: 5}
    assert "light" in answers[0].headers["ratelimit"]


async def test_a_mixed_document_counts_in_both(house: House) -> None:
    ann = await house.api.register()
    conversation = await ann.talk()
    before = await ann.post(LIMITS)
    mixed = """mutation ($mark: MarkReadInput!, $send: SendMessageInput!) {
      markRead(input: $mark) { userErrors { code } } sendMessage(input: $send) { message { id } } }"""
    variables = {
        "mark": {"conversationId": conversation["id"], "upToSequence": 1},
        "send": {"conversationId": conversation["id"], "body": "hello", "clientMessageId": "the-id"},
    }

    for _ in range(2):  # unknown, then known
        assert "errors" not in await ann.post(mixed, variables)
    after = await ann.post(LIMITS)

    used = {
        bucket: standing(before, bucket)["remaining"] - standing(after, bucket)["remaining"]
        for bucket in ("api", "light", "messages")
    }
    assert used == {"api": 3, "light": 2, "messages": 2}


async def test_a_socket_has_its_own_limit(house: House) -> None:
    ann = await house.api.register()
    async with ann.socket() as socket, ann.socket() as other:
        for _ in range(50):
            assert (await (await socket.start(ROLES)).message())["type"] == "next"
            await socket.tell({"type": "ping"})
            await socket.tell({"type": "complete", "id": "nothing"})
        refused = await (await socket.start(ROLES)).message()
        elsewhere = await (await other.start(ROLES)).message()

    assert refused["type"] == "error"
    extensions = refused["payload"][0]["extensions"]
    assert (extensions["code"], extensions["retryable"]) == ("RATE_LIMITED", True)
    assert 0 < extensions["retryAfterMs"] <= 60_000
    assert elsewhere["type"] == "next"
    assert (await ask(house.api, ROLES, token=ann.token)).headers["ratelimit"].startswith('"api";r=99')


async def test_a_subscription_goes_on_when_its_socket_may_do_no_more(house: House) -> None:
    ann, bob = await house.api.register(), await house.api.register()
    conversation = await ann.talk(bob)
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        for _ in range(49):
            assert (await (await socket.start(ROLES)).message())["type"] == "next"
        assert (await (await socket.start(UPDATES, {"id": conversation["id"]})).message())["type"] == "error"
        mark = {"input": {"conversationId": conversation["id"], "upToSequence": 1}}
        light = await (await socket.start(MARK_READ, mark)).message()
        await bob.send(conversation["id"], "still here")

        assert (await updates.update())["message"]["body"] == "still here"
    assert light["payload"]["data"]["markRead"]["userErrors"] == []


async def test_wrong_passwords_count_for_the_account_and_for_the_address(house: House) -> None:
    ann = await house.api.register()
    house.move()

    async def attempt(handle: str, password: str, api: Api | None = None) -> Json:
        response = await (api or house.api).post(LOGIN, {"input": {"handle": handle, "password": password}})
        payload: Json = response["data"]["login"]
        return payload

    tries = await asyncio.gather(*(attempt(ann.handle, "wrong", house.apis[n % 3]) for n in range(4)))
    too_many = await attempt(ann.handle, "wrong")  # registering was the first of five
    house.move()
    elsewhere = await attempt(ann.handle.upper(), PASSWORD)
    others = [await attempt(f"nobody{n}{uuid.uuid4().hex[:9]}", "wrong") for n in range(6)]

    # After a few, the account's own delay refuses what comes at once (tests/services/test_attempts.py has the numbers).
    codes = {payload["userErrors"][0]["code"] for payload in tries}
    assert {"INVALID_CREDENTIALS"} <= codes <= {"INVALID_CREDENTIALS", "RATE_LIMITED"}
    (error,) = too_many["userErrors"]
    assert (error["__typename"], error["bucket"], error["limit"]) == ("RateLimitError", "authentication", 5)
    assert 0 < error["retryAfterMs"] <= 900_000
    assert elsewhere["userErrors"][0]["code"] == "RATE_LIMITED", "the right password as well: guessing must not pay"
    assert [payload["userErrors"][0]["code"] for payload in others] == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"]


async def test_many_logins_in_one_document_count_each(house: House) -> None:
    ann = await house.api.register()
    house.move()
    logins = " ".join(
        f'a{n}: login(input: {{ handle: "{ann.handle}", password: "wrong {n}" }}) {{ userErrors {{ code }} }}'
        for n in range(15)
    )

    answer = await house.api.post(f"mutation {{ {logins} }}")

    codes = Counter(payload["userErrors"][0]["code"] for payload in answer["data"].values())
    assert codes["INVALID_CREDENTIALS"] <= 4, "registering was the first of five"
    assert codes.total() == 15
    assert codes.keys() == {"INVALID_CREDENTIALS", "RATE_LIMITED"}


async def test_the_viewer_sees_what_is_left_and_looking_costs_the_request_only(house: House) -> None:
    ann = await house.api.register()

    first, second = await ann.post(LIMITS), await ann.at(house.apis[1]).post(LIMITS)
    async with ann.socket() as socket:
        message = await (await socket.start(LIMITS)).message()

    assert [limit["bucket"] for limit in first["data"]["viewer"]["rateLimits"]] == [
        "api",
        "messages",
        "light",
        "authentication",
    ]
    assert [standing(first, "api")[key] for key in ("limit", "remaining", "windowSeconds")] == [100, 99, 60]
    assert standing(second, "api")["remaining"] == 98
    assert [standing(second, "messages")[key] for key in ("limit", "remaining")] == [30, 30]
    assert [standing(second, "authentication")[key] for key in ("limit", "remaining")] == [5, 4]
    assert standing(message["payload"], "socket")["remaining"] == 49


async def test_rules_can_be_other_ones_for_a_root_field(stack: StackProcess) -> None:
    async with local_api(stack, rate_limits="createConversation=1/60, health=1/60") as served, Api(served.url) as api:
        await connected(api)
        ann = await api.register()
        await ann.talk()
        payload = await ann.mutate(
            """mutation ($input: CreateConversationInput!) { createConversation(input: $input) {
              conversation { id } userErrors { code ... on RateLimitError { bucket } } } }""",
            memberIds=[],
        )
        statuses = [(await ask(api, "{ health { status } }", token=ann.token)).status_code for _ in range(2)]

    assert payload == {
        "conversation": None,
        "userErrors": [{"code": "RATE_LIMITED", "bucket": "createConversation"}],
    }
    assert statuses == [200, 429]


def test_a_rule_for_what_there_is_not_is_no_rule(stack: StackProcess) -> None:
    servers = {"mongo_url": "", "redis_url": "", "kafka_url": "", "embedded": True, "data": stack.directory}
    settings = Settings.model_validate({**servers, "rate_limits": "sendMesage=1/1"})

    with pytest.raises(ValueError, match="there is no sendMesage to be limited"):
        create_app(settings)


async def test_off_means_that_nothing_is_counted_or_said(api: Api) -> None:
    ann = await api.register()

    answers = await asyncio.gather(*(ask(api, ROLES, token=ann.token) for _ in range(120)))

    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)
    assert (await ann.post(LIMITS))["data"]["viewer"]["rateLimits"] == []


async def test_without_redis_each_process_admits_half_and_no_more(house: House, limited: StackProcess) -> None:
    ann = await house.api.register()
    with limited.stopped("redis"):
        answers = await asyncio.gather(*(ask(house.apis[n % 3], ROLES, token=ann.token) for n in range(240)))
        statuses = Counter(answer.status_code for answer in answers)

        # Those that were given to Redis when it stood still may be counted by it when it goes on, never let through.
        assert statuses == {200: 150, 429: 90}
        assert answers[-1].headers["ratelimit-policy"] == '"api";q=50;w=60'


async def test_without_redis_guessing_passwords_is_limited_too(stack: StackProcess) -> None:
    async with (
        local_api(stack, redis_url="redis://127.0.0.1:1", rate_limits="authentication=4/60") as served,
        Api(served.url) as api,
    ):
        answers = [await api.post(LOGIN, {"input": {"handle": f"nobody{n}", "password": "wrong"}}) for n in range(4)]

    codes = [answer["data"]["login"]["userErrors"][0]["code"] for answer in answers]
    assert codes == ["INVALID_CREDENTIALS", "INVALID_CREDENTIALS", "RATE_LIMITED", "RATE_LIMITED"]


async def test_a_socket_without_a_token_is_limited_as_well(house: House) -> None:
    async with Socket.open(house.api, None) as socket:
        answers = [await (await socket.start("{ health { status } }")).message() for _ in range(51)]

    assert [answer["type"] for answer in answers] == ["next"] * 50 + ["error"]


async def test_browsers_may_read_what_the_headers_say(stack: StackProcess) -> None:
    async with local_api(stack, allowed_origins="https://app.example") as served, Api(served.url) as api:
        response = await api.http.post(
            f"{api.url}/graphql", json={"query": "{ __typename }"}, headers={"origin": "https://app.example"}
        )

    exposed = response.headers["access-control-expose-headers"]
    assert all(name in exposed for name in ("ratelimit", "retry-after", "x-request-id"))


async def test_plain_routes_have_a_limit_but_those_that_load_balancers_ask(house: House) -> None:
    async def get(path: str) -> int:
        return (await house.api.http.get(house.api.url + path)).status_code

    for path in ("/health", "/.well-known/jwks.json"):
        statuses = Counter(await asyncio.gather(*(get(path) for _ in range(125))))
        assert statuses == {200: 120, 429: 5}
    refused = await house.api.http.get(f"{house.api.url}/health")
    probes = await asyncio.gather(*(get("/health/live") for _ in range(130)))

    (error,) = refused.json()["errors"]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert error["extensions"]["retryAfterMs"] == int(refused.headers["retry-after"]) * 1_000
    assert refused.headers["ratelimit"].startswith('"plain";r=0;t=')
    assert set(probes) == {200}


async def test_plain_routes_say_what_is_left_of_a_limit_that_can_be_set(stack: StackProcess) -> None:
    async with local_api(stack, rate_limits="plain=2/30") as served, Api(served.url) as api:
        answers = [await api.http.get(f"{api.url}/health") for _ in range(3)]
        other = await api.http.get(f"{api.url}/.well-known/jwks.json")

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"plain";q=2;w=30'}
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]
    assert other.status_code == 200, "each route has a window of its own"
