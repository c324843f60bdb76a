"""Traces: one leads from a request through MongoDB, other API processes and Kafka to the jobs of a worker."""

import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.clients import SEND, Api
from tests.collector import Collector, collecting
from tests.faults.harness import until
from tests.stack_process import StackProcess, running_stack

JOBS = {"activity", "push", "search"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley that sends traces."""
    environment = {"PARLEY_TRACES_URL": f"http://{collector.address}", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with running_stack(tmp_path_factory.mktemp("traced"), replicas=2, environment=environment) as stack:
        yield stack


def spans(collector: Collector, trace_id: str) -> set[tuple[str, str]]:
    """Return the spans of a trace: which program's, and their names."""
    return traces(collector).get(trace_id, set())


def traces(collector: Collector) -> dict[str, set[tuple[str, str]]]:
    """Return the spans of each trace by its id."""
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for path, body in tuple(collector.bodies):
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found[span.trace_id.hex()].add((attributes["service.name"], span.name))
    return found


async def test_one_trace_has_the_request_mongodb_the_publishing_each_delivery_and_each_job(
    traced: StackProcess, collector: Collector
) -> None:
    trace_id, body = uuid.uuid4().hex, f"words {uuid.uuid4().hex}"
    async with Api(traced.urls[0]) as api, Api(traced.urls[1]) as other:
        ann, bob = await api.register(), await api.register()
        conversation = (await ann.talk(bob))["id"]
        async with bob.at(other).socket() as socket:
            updates = await socket.updates(conversation)
            await updates.until_caught_up()
            response = await api.http.post(
                f"{api.url}/graphql",
                json={
                    "query": SEND,
                    "variables": {"input": {"conversationId": conversation, "body": body, "clientMessageId": "1"}},
                },
                headers={"authorization": f"Bearer {ann.token}", "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
            )
            assert response.json()["data"]["sendMessage"]["userErrors"] == []
            await updates.update()

    expected = {
        ("parley-api", "POST /graphql"),
        ("parley-api", "MUTATION sendMessage"),
        ("parley-api", "append"),
        ("parley-api", "insert_many entries"),
        ("parley-api", "publish parley.events"),
        ("parley-api", "deliver"),  # by the other process: nobody follows at this one
        *(("parley-worker", f"job {job}") for job in JOBS),
    }
    await until(lambda: expected <= spans(collector, trace_id), f"{expected} are in the trace", 60)
    assert not any(body.encode() in sent for _, sent in collector.bodies)


async def test_a_subscription_has_a_trace_of_what_it_took_to_begin_it(
    traced: StackProcess, collector: Collector
) -> None:
    name = ("parley-api", "SUBSCRIPTION conversationUpdates")
    known = set(traces(collector))
    async with Api(traced.urls[0]) as api, Api(traced.urls[1]) as other:
        ann = await api.register()
        conversation = (await ann.talk())["id"]
        async with ann.at(other).socket() as socket:  # a process that has not seen the conversation
            await (await socket.updates(conversation)).until_caught_up()

    def begun() -> list[set[tuple[str, str]]]:
        return [found for trace_id, found in traces(collector).items() if trace_id not in known and name in found]

    await until(lambda: any(found - {name} for found in begun()), "a trace of it has what MongoDB was asked", 60)


def test_without_the_settings_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, parley.api, parley.worker, parley.cli\n"
        "extras = ('opentelemetry.sdk', 'opentelemetry.exporter', 'sentry_sdk')\n"
        "print([name for name in sys.modules if name.startswith(extras) and sys.modules[name]])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert ran.stdout == "[]\n"
