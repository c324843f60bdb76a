"""Alerts as operators see them: at every instance, over a socket and at a webhook, whatever part is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.alert_receiver import AlertReceiver
from tests.api.test_sessions import REFRESH
from tests.clients import PASSWORD, Api, Json, Person, Running
from tests.stack_process import StackProcess, running_stack

OPERATOR = "alert.operator"
SECRET = "the webhook's secret"
RULES = (
    "MongodbDown=0/1, RedisDown=0/1, KafkaDown=0/1, AnswersSlow=off, DeliveriesSlow=off, LoopLate=off, OutboxOld=off"
)
FIELDS = "id name severity state message value threshold startedAt endedAt"
ALERTS = f"query ($state: AlertState) {{ alerts(state: $state) {{ nodes {{ {FIELDS} }} }} }}"
FOLLOW = f"subscription {{ alerts {{ {FIELDS} }} }}"
PARTS = {"MongodbDown": "mongo", "RedisDown": "redis", "KafkaDown": "kafka"}
SECONDS = 90


@pytest.fixture(scope="module")
def receiver() -> AlertReceiver:
    return AlertReceiver(SECRET)


@pytest.fixture(scope="module")
def watched(receiver: AlertReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley that judges twice a second, with two workers."""
    secret: Path = tmp_path_factory.mktemp("secret") / "secret"
    secret.write_text(f"{SECRET}\n")
    environment = {
        "PARLEY_OPERATORS": OPERATOR,
        "PARLEY_ALERT_SECONDS": "0.5",
        "PARLEY_ALERT_RULES": RULES,
        "PARLEY_ALERT_WEBHOOK_URL": receiver.url,
        "PARLEY_ALERT_WEBHOOK_SECRET_FILE": str(secret),
    }
    directory = tmp_path_factory.mktemp("watched")
    with running_stack(directory, replicas=2, workers=2, environment=environment) as stack:
        yield stack


@pytest.fixture
async def apis(watched: StackProcess, receiver: AlertReceiver) -> AsyncIterator[list[Api]]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(receiver.running())
        yield [await stack.enter_async_context(Api(url)) for url in watched.urls]


@pytest.fixture
async def operator(apis: list[Api]) -> Person:
    """Somebody who may see alerts."""
    found = await apis[0].post(
        "mutation ($i: LoginInput!) { login(input: $i) { user { id } accessToken refreshToken } }",
        {"i": {"handle": OPERATOR, "password": PASSWORD}},
    )
    payload = found["data"]["login"]
    if payload["accessToken"] is None:
        return await apis[0].register(OPERATOR)
    return Person(apis[0], OPERATOR, payload["user"]["id"], payload["accessToken"], payload["refreshToken"])


async def alerts(operator: Person, api: Api, name: str, state: str | None = None) -> list[Json]:
    response = await operator.at(api).post(ALERTS, {"state": state})
    return [alert for alert in response["data"]["alerts"]["nodes"] if alert["name"] == name]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110  # it is another process that changes
            await asyncio.sleep(0.2)


async def told(running: Running, name: str, state: str) -> Json:
    """Return the next of a subscription that is this one."""
    async with asyncio.timeout(SECONDS):
        while True:
            message = await running.wait()
            assert message["type"] == "next", message
            alert: Json = message["payload"]["data"]["alerts"]
            if (alert["name"], alert["state"]) == (name, state):
                return alert


async def heard(receiver: AlertReceiver, alert: Json) -> None:
    async def came() -> bool:
        return any(each["alert"] == alert for each in receiver.requests)

    await eventually(came)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
async def test_a_part_that_stands_still_is_told_of_everywhere_and_so_is_its_return(
    name: str, watched: StackProcess, apis: list[Api], operator: Person, receiver: AlertReceiver
) -> None:
    async with operator.at(apis[0]).socket() as one, operator.at(apis[1]).socket() as two:
        following = [await one.start(FOLLOW), await two.start(FOLLOW)]
        with watched.stopped(PARTS[name]):
            firing, elsewhere = [await told(each, name, "FIRING") for each in following]
            await heard(receiver, firing)
        resolved, also = [await told(each, name, "RESOLVED") for each in following]
        await heard(receiver, resolved)

    assert elsewhere == firing
    assert also == resolved
    assert firing["endedAt"] is None
    assert firing["value"] > firing["threshold"] == 0
    assert resolved == firing | {"state": "RESOLVED", "endedAt": resolved["endedAt"]}
    assert resolved["endedAt"] > resolved["startedAt"]
    assert receiver.faults == []

    async def all_know() -> bool:
        found = [await alerts(operator, api, name, "RESOLVED") for api in apis]
        return all(resolved in each for each in found)

    await eventually(all_know)
    assert await alerts(operator, apis[0], name, "FIRING") == []


async def test_a_refresh_token_that_is_shown_again_is_an_alert_with_which_a_subscription_begins(
    apis: list[Api], operator: Person, receiver: AlertReceiver
) -> None:
    ann = await apis[1].register()
    token = ann.refresh_token
    receiver.answers = [500, 429]  # it is told until it takes it
    for _ in range(3):  # of one token two successors are given: an answer may be lost
        response = await apis[1].post(REFRESH, {"input": {"refreshToken": token}})
        token = response["data"]["refreshSession"]["refreshToken"] or token
    await apis[1].post(REFRESH, {"input": {"refreshToken": ann.refresh_token}})

    async def fires() -> bool:
        return bool(await alerts(operator, apis[0], "RefreshTokenReused", "FIRING"))

    await eventually(fires)
    (alert,) = await alerts(operator, apis[0], "RefreshTokenReused")
    async with operator.at(apis[1]).socket() as socket:
        first = await told(await socket.start(FOLLOW), "RefreshTokenReused", "FIRING")

    assert first == alert
    assert alert["severity"] == "WARNING"
    assert (await operator.post("query ($id: ID!) { node(id: $id) { id } }", {"id": alert["id"]}))["data"]["node"]
    await eventually(lambda: taken(receiver, alert))
    ids = {each["id"] for each in receiver.requests if each["alert"] == alert}
    assert len(ids) == 1, "what is told again is known by its id"


async def taken(receiver: AlertReceiver, alert: Json) -> bool:
    return [each["alert"] for each in receiver.requests].count(alert) == 3


async def test_only_operators_see_alerts(apis: list[Api], operator: Person) -> None:
    ann = await apis[0].register()

    refused, stranger = await ann.post(ALERTS), await apis[0].post(ALERTS)
    async with ann.socket() as socket:
        on_socket = await (await socket.start(FOLLOW)).message()

    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert stranger["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (on_socket["type"], on_socket["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")
    assert "errors" not in await operator.post(ALERTS)
