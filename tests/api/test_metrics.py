"""What operators see of a known load: exactly what its generator counted, at every process, whatever became of one."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.clients import PASSWORD, Api, Json, Person
from tests.stack_process import StackProcess, running_stack

ROOT = Path(__file__).parents[2]
OPERATOR = "metrics.operator"
TRACK = """mutation ($input: TrackInput!) { track(input: $input) { accepted userErrors { code path } } }"""
METRICS = """{ at windowSeconds instanceCount
  requests { count perSecond latency { meanMs p50Ms p95Ms p99Ms maxMs } byStatus { code count }
    byOperation { operation kind count errorCount latency { p99Ms } } }
  messages { sent sentPerSecond deliveries deliveriesPerSecond commitToDelivery { p50Ms p99Ms } }
  connections { open subscriptions } users { online activeLastMinute activeLastDay }
  errors { code count } cache { hits misses hitRatio } queue { outboxOldestSeconds consumerLag deadLetters } }"""
HISTORY = """query ($from: DateTime!, $to: DateTime!, $resolution: MetricsResolution!) {
  metricsHistory(from: $from, to: $to, resolution: $resolution) { at requestsPerSecond } }"""
MESSAGES, REFUSED, LOOKS = 12, 3, 5


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley that nobody else uses."""
    environment = {"PARLEY_OPERATORS": OPERATOR}
    with running_stack(tmp_path_factory.mktemp("measured"), replicas=3, environment=environment) as stack:
        yield stack


@pytest.fixture
async def apis(measured: StackProcess) -> AsyncIterator[list[Api]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Api(url)) for url in measured.urls]


@pytest.fixture
async def operator(apis: list[Api]) -> Person:
    """Somebody who may see the figures."""
    found = await apis[0].post(
        "mutation ($i: LoginInput!) { login(input: $i) { user { id } accessToken refreshToken } }",
        {"i": {"handle": OPERATOR, "password": PASSWORD}},
    )
    payload = found["data"]["login"]
    if payload["accessToken"] is None:
        return await apis[0].register(OPERATOR)
    return Person(apis[0], OPERATOR, payload["user"]["id"], payload["accessToken"], payload["refreshToken"])


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds: processes report every two seconds."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110  # it is another process that changes
            await asyncio.sleep(0.2)


async def figures(operator: Person, api: Api) -> Json:
    found: Json = (await operator.at(api).post(f"{{ metrics {METRICS} }}"))["data"]["metrics"]
    return found


def operations(metrics: Json) -> dict[str, tuple[int, int]]:
    return {each["operation"]: (each["count"], each["errorCount"]) for each in metrics["requests"]["byOperation"]}


def codes(counts: list[Json]) -> dict[str, int]:
    return {each["code"]: each["count"] for each in counts}


@pytest.mark.slow
async def test_every_process_shows_exactly_what_was_done_at_all_of_them(
    apis: list[Api], operator: Person, measured: StackProcess
) -> None:
    ann = await apis[0].register()
    bob = await apis[0].register()
    conversation = await ann.talk(bob)
    async with AsyncExitStack() as stack:
        followers = []
        for api in apis:
            socket = await stack.enter_async_context(bob.at(api).socket())
            followers.append(await socket.updates(conversation["id"]))
            await followers[-1].until_caught_up()
        for number in range(MESSAGES):
            await ann.at(apis[number % 3]).send(conversation["id"], f"{number}", f"id {number}")
        for number in range(REFUSED):
            await ann.at(apis[number % 3]).send(conversation["id"], "another body", f"id {number}")
        for api in apis:
            for _ in range(LOOKS):
                await ann.at(api).post("{ viewer { unreadCount } }")
            await ann.at(api).post("{ nothing }")
        for follower in followers:
            for _ in range(MESSAGES):
                await follower.update()

        async def all_agree() -> bool:
            found = [await figures(operator, api) for api in apis]
            return all(
                operations(each).get("viewer") == (3 * LOOKS, 0)
                and each["messages"]["sent"] == MESSAGES
                and each["messages"]["deliveries"] == 3 * MESSAGES
                and each["connections"] == {"open": 3, "subscriptions": 3}
                and each["users"]["activeLastMinute"] >= 3
                for each in found
            )

        await eventually(all_agree)
        found = await figures(operator, apis[1])

    assert found["instanceCount"] == 3
    assert 60 <= found["windowSeconds"] <= 70
    assert operations(found)["sendMessage"] == (MESSAGES + REFUSED, 0)
    assert operations(found)["conversationUpdates"] == (3, 0)
    assert codes(found["errors"])["CONFLICT"] == REFUSED
    assert sum(codes(found["requests"]["byStatus"]).values()) == found["requests"]["count"]
    latency = found["requests"]["latency"]
    assert 0 < latency["p50Ms"] <= latency["p95Ms"] <= latency["p99Ms"] <= latency["maxMs"]
    assert found["messages"]["commitToDelivery"]["p99Ms"] > 0
    assert found["users"]["activeLastDay"] >= 3

    before = await figures(operator, apis[2])
    os.kill(measured.run()["api"][0]["pid"], signal.SIGKILL)
    after = await figures(operator, apis[2])

    assert after["messages"]["sent"] == before["messages"]["sent"], "what it had reported stays"
    await eventually(lambda: has_sockets(operator, apis[2], 0))


async def has_sockets(operator: Person, api: Api, count: int) -> bool:
    return bool((await figures(operator, api))["connections"]["open"] == count)


async def test_figures_come_again_and_again_over_a_socket(operator: Person, apis: list[Api]) -> None:
    async with operator.at(apis[1]).socket() as socket:
        running = await socket.start(f"subscription {{ metrics(everySeconds: 1) {METRICS} }}")
        samples = [await running.message() for _ in range(3)]
        await running.stop()

    times = [sample["payload"]["data"]["metrics"]["at"] for sample in samples]
    assert times == sorted(times)
    assert len(set(times)) > 1


async def test_only_operators_see_figures(apis: list[Api], operator: Person) -> None:
    ann = await apis[0].register()
    documents = [
        f"{{ metrics {METRICS} }}",
        '{ metricsHistory(from: "2026-01-01T00:00:00Z", to: "2026-01-01T01:00:00Z") { at } }',
    ]

    refused = [await ann.post(document) for document in documents]
    strangers = [await apis[0].post(document) for document in documents]
    async with ann.socket() as socket:
        on_socket = await (await socket.start(f"subscription {{ metrics {METRICS} }}")).message()

    assert {each["errors"][0]["extensions"]["code"] for each in refused} == {"FORBIDDEN"}
    assert {each["errors"][0]["extensions"]["code"] for each in strangers} == {"UNAUTHENTICATED"}
    assert (on_socket["type"], on_socket["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")
    assert "errors" not in await operator.post(documents[0])


@pytest.mark.parametrize(
    ("since", "until", "resolution"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "MINUTE"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "HOUR"),
        ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "MINUTE"),
    ],
)
async def test_a_history_that_makes_no_sense_is_refused(
    operator: Person, since: str, until: str, resolution: str
) -> None:
    response = await operator.post(HISTORY, {"from": since, "to": until, "resolution": resolution})

    assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("every", [0, 61, -1])
async def test_a_pace_that_is_not_allowed_is_refused(operator: Person, every: int) -> None:
    async with operator.socket() as socket:
        message = await (await socket.start(f"subscription {{ metrics(everySeconds: {every}) {{ at }} }}")).message()

    assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")


async def test_prometheus_reads_each_process_directly_and_through_a_proxy_only_operators_do(
    apis: list[Api], operator: Person
) -> None:
    path, proxied = f"{apis[0].url}/metrics", {"x-forwarded-for": "203.0.113.9"}
    direct = await apis[0].http.get(path)
    stranger = await apis[0].http.get(path, headers=proxied)
    trusted = await apis[0].http.get(path, headers=proxied | {"authorization": f"Bearer {operator.token}"})

    shown = set(re.findall(r"^# TYPE (parley_\w+) ", direct.text, re.MULTILINE))
    documented = set(re.findall(r"`(parley_\w+)`", (ROOT / "docs/metrics.md").read_text()))
    assert (direct.status_code, stranger.status_code, trusted.status_code) == (200, 401, 200)
    assert shown - documented == set()
    assert "parley_requests_total{" in direct.text


async def test_plain_routes_show_the_same_figures(apis: list[Api], operator: Person) -> None:
    prefix, headers = f"{apis[0].url}/api/v1/monitoring", {"authorization": f"Bearer {operator.token}"}
    ann = await apis[0].register()
    theirs = {"authorization": f"Bearer {ann.token}"}
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}

    figures = await apis[0].http.get(f"{prefix}/metrics", headers=headers)
    history = await apis[0].http.get(f"{prefix}/metrics/history", headers=headers, params=span)
    health = await apis[0].http.get(f"{prefix}/health")
    tracked = await apis[0].http.post(f"{prefix}/track", headers=theirs, json={"name": "app.opened"})
    refused = [
        await apis[0].http.get(f"{prefix}/metrics"),
        await apis[0].http.get(f"{prefix}/metrics", headers=theirs),
        await apis[0].http.get(f"{prefix}/metrics/history", headers=headers),
        await apis[0].http.post(f"{prefix}/track", headers=theirs, json={"name": "No Name"}),
    ]

    assert figures.json()["instanceCount"] == 3
    assert history.json() == {"points": []}
    assert health.json()["status"] == "HEALTHY"
    assert tracked.json() == {"accepted": True}
    assert [each.status_code for each in refused] == [401, 403, 400, 400]


@pytest.mark.parametrize(
    "event",
    [
        {"name": ""},
        {"name": "Upper"},
        {"name": "a" * 65},
        {"name": "a", "properties": {"much": "x" * 5_000}},
        {"name": "a", "at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_a_product_event_that_is_not_acceptable_is_refused(apis: list[Api], event: Json) -> None:
    ann = await apis[0].register()

    payload = await ann.mutate(TRACK, **event)

    assert payload["accepted"] is False
    assert payload["userErrors"][0]["code"] == "INVALID_INPUT"


async def test_what_is_refused_and_streams_count_as_well(apis: list[Api], operator: Person) -> None:
    async def shown(name: str) -> float:
        text = (await apis[2].http.get(f"{apis[2].url}/metrics")).text
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE))

    ann = await apis[0].register()
    conversation = await ann.talk(operator)
    document = f'subscription {{ conversationUpdates(conversationId: "{conversation["id"]}") {{ __typename }} }}'
    refused = 'parley_errors_total{code="BAD_USER_INPUT"}'
    before = [await shown(name) for name in (refused, "parley_sockets", "parley_subscriptions")]
    response = await ann.at(apis[2]).post(document)
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {ann.token}"}
    async with apis[2].http.stream(
        "POST", f"{apis[2].url}/graphql/stream", json={"query": document}, headers=headers
    ) as stream:
        after = [await shown(name) for name in (refused, "parley_sockets", "parley_subscriptions")]
        assert stream.status_code == 200

    assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert after == [before[0] + 1, before[1] + 1, before[2] + 1]
    await eventually(lambda: is_shown(shown, "parley_subscriptions", before[2]))


async def is_shown(shown: Callable[[str], Awaitable[float]], name: str, value: float) -> bool:
    return await shown(name) == value
