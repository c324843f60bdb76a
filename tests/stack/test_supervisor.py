"""The supervisor: order, restarts, ends. Its children are small Python programs and a real Valkey."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis.asyncio import Redis

from parley.stack import stack, supervisor, valkey
from parley.stack.supervisor import Child, StartError, Supervisor

DEADLINE_SECONDS = 20
RESTART_SECONDS = 2.0
PROGRAM = """
import json, os, signal, sys, time
journal, name, spare, obeys, lives = json.loads(sys.argv[1])
def note(what):
    with open(journal, "a") as file:
        file.write(json.dumps([what, name, os.getpid(), time.monotonic()]) + "\\n")
def stop(*_):
    note("asked to stop")
    if obeys:
        sys.exit()
signal.signal(signal.SIGTERM, stop)
if spare:
    note("prepared")
    sys.stdin.readline()
note("started")
print("the last words of", name)
while lives:
    signal.pause()
sys.exit(3)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Bench:
    """Children that write down what happens to them, and a supervisor of them."""

    directory: Path
    restarts: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        return self.directory / "journal"

    def noted(self, what: str) -> list[tuple[str, int, float]]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [(name, pid, at) for noted, name, pid, at in map(json.loads, lines) if noted == what]

    def child(self, name: str, *, spare: bool = False, obeys: bool = True, lives: bool = True, **options: Any) -> Child:
        async def ready() -> bool:
            return any(noted[0] == name for noted in self.noted("started"))

        arguments = json.dumps([str(self.journal), name, spare, obeys, lives])
        argv = (sys.executable, "-S", "-c", PROGRAM, arguments)
        return Child(**{"name": name, "argv": argv, "ready": ready, "spare": spare, **options})

    def supervisor(self, *stages: Sequence[Child]) -> Supervisor:
        return Supervisor(stages, logs=self.directory, restarted=self.restarted, say=self.said.append)

    def restarted(self) -> None:
        self.restarts += 1

    def left(self) -> list[int]:
        return [pid for what in ("prepared", "started") for _, pid, _ in self.noted(what) if psutil.pid_exists(pid)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110  # other processes set no events
            await asyncio.sleep(0.01)


async def _never() -> bool:
    return False


async def test_stages_start_one_after_the_other_and_stop_in_reverse(bench: Bench) -> None:
    first, second = [bench.child("a"), bench.child("b")], [bench.child("c")]

    async with bench.supervisor(first, second).running():
        starts = [name for name, _, _ in bench.noted("started")]
    stops = [name for name, _, _ in bench.noted("asked to stop")]

    assert (set(starts[:2]), starts[2:]) == ({"a", "b"}, ["c"])
    assert (stops[:1], set(stops[1:])) == (["c"], {"a", "b"})
    assert bench.left() == []


async def test_a_child_that_dies_is_restarted_on_its_port_with_its_data(bench: Bench) -> None:
    (bench.directory / "valkey").mkdir()
    port = stack.free_port()
    supervisor = bench.supervisor([valkey.redis_child(bench.directory, port)])
    async with supervisor.running(), Redis(port=port) as client:
        pid = supervisor.pid("redis")
        await client.set("name", "value")
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await _until(lambda: bench.restarts)
        seconds = time.monotonic() - killed

        assert await client.get("name") == b"value"
        assert seconds < RESTART_SECONDS
        assert supervisor.pid("redis") != pid
        assert bench.said == ["redis was ended by SIGKILL; it is started again"]


async def test_a_spare_that_is_prepared_takes_over(bench: Bench) -> None:
    supervisor = bench.supervisor([bench.child("a", spare=True)])
    async with supervisor.running():
        await _until(lambda: len(bench.noted("prepared")) == 2)
        [(_, first, _), (_, second, _)] = bench.noted("prepared")
        os.kill(first, signal.SIGKILL)
        await _until(lambda: bench.restarts and len(bench.noted("prepared")) == 3)

        assert supervisor.pid("a") == second
        assert [pid for _, pid, _ in bench.noted("started")] == [first, second]
    assert bench.left() == []


async def test_a_spare_that_died_is_no_obstacle(bench: Bench) -> None:
    supervisor = bench.supervisor([bench.child("a", spare=True)])
    async with supervisor.running():
        await _until(lambda: len(bench.noted("prepared")) == 2)
        for _, pid, _ in reversed(bench.noted("prepared")):
            os.kill(pid, signal.SIGKILL)
        await _until(lambda: len(bench.noted("started")) == 2)

        assert supervisor.pid("a") == bench.noted("started")[-1][1]


async def test_a_child_that_keeps_dying_is_restarted_ever_more_slowly(bench: Bench) -> None:
    async def at_once() -> bool:
        return True

    async with bench.supervisor([bench.child("a", lives=False, ready=at_once)]).running():
        await _until(lambda: len(bench.noted("started")) == 5)
    times = [at for _, _, at in bench.noted("started")]
    pauses = [after - before for before, after in itertools.pairwise(times)]

    assert all(pause > least for pause, least in zip(pauses, (0, 0.125, 0.375, 0.875), strict=True))
    assert bench.said[0] == "a ended with exit code 3; it is started again"


async def test_a_restart_that_fails_is_tried_again(bench: Bench) -> None:
    ready = True

    async def while_allowed() -> bool:
        return ready

    supervisor = bench.supervisor([bench.child("a", ready=while_allowed, start_seconds=0.2)])
    async with supervisor.running():
        ready = False
        os.kill(supervisor.pid("a"), signal.SIGKILL)
        await _until(lambda: any("was not ready within 0.2 s" in line for line in bench.said))
        ready = True
        await _until(lambda: bench.restarts)
    assert bench.left() == []


async def test_a_child_that_ends_at_its_start_is_named_with_the_end_of_its_log(bench: Bench) -> None:
    with pytest.raises(StartError, match=r"b ended with exit code 3 at its start; the end of .*\n.*last words of b"):
        async with bench.supervisor([bench.child("a")], [bench.child("b", lives=False, ready=_never)]).running():
            pytest.fail("it runs")
    assert bench.left() == []


async def test_a_child_that_is_never_ready_is_named(bench: Bench) -> None:
    children = [bench.child("a"), bench.child("b", ready=_never, start_seconds=0.2)]
    with pytest.raises(StartError, match=r"b was not ready within 0\.2 s"):
        async with bench.supervisor(children).running():
            pytest.fail("it runs")
    assert bench.left() == []


async def test_a_program_that_does_not_exist_is_named(bench: Bench) -> None:
    with pytest.raises(StartError, match=r"a cannot be run: .*/no/such/program"):
        async with bench.supervisor([bench.child("a", argv=["/no/such/program"])]).running():
            pytest.fail("it runs")


async def test_a_start_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    supervisor = bench.supervisor([bench.child("a")], [bench.child("b", ready=_never), bench.child("c", spare=True)])
    start = asyncio.create_task(supervisor.running().__aenter__())
    await _until(lambda: {"a", "b"} <= {name for name, _, _ in bench.noted("started")} and bench.noted("prepared"))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start

    assert bench.left() == []


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(bench: Bench) -> None:
    async with bench.supervisor([bench.child("a", obeys=False, grace_seconds=0.2)]).running():
        pass

    assert len(bench.noted("asked to stop")) == 1
    assert bench.left() == []


async def test_a_cancelled_stop_kills_what_it_waits_for_and_lets_the_others_stop(bench: Bench) -> None:
    async def run() -> None:
        supervisor = bench.supervisor([bench.child("a")], [bench.child("b", obeys=False, grace_seconds=3_600)])
        async with supervisor.running():
            await supervisor.forever()

    task = asyncio.create_task(run())
    await _until(lambda: len(bench.noted("started")) == 2)
    task.cancel()
    await _until(lambda: bench.noted("asked to stop"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [name for name, _, _ in bench.noted("asked to stop")] == ["b", "a"]
    assert bench.left() == []


async def test_a_large_log_is_put_aside_at_the_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES", 10)
    (bench.directory / "a.log").write_text("what an earlier run wrote")
    async with bench.supervisor([bench.child("a")]).running():
        pass

    assert (bench.directory / "a.log.1").read_text() == "what an earlier run wrote"
    assert "an earlier run" not in (bench.directory / "a.log").read_text()
