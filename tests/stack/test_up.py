"""`parley up` and `parley stack` as people run them: processes on a directory, with everything real."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pymongo import MongoClient
from redis import Redis

from parley.stack.stack import free_port

DEADLINE_SECONDS = 60
PARLEY = (sys.executable, "-m", "parley")
SERVERS = ("mongo", "redis", "kafka")


@dataclass
class Running:
    """A `parley` on a directory, and where its output goes."""

    process: subprocess.Popen[bytes]
    directory: Path
    output: Path

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.directory / "run.json").read_text())
        return state

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def serving(self) -> set[int]:
        """Return the pids in `run.json`."""
        parts = [part if isinstance(part, list) else [part] for part in self.state().values()]
        return {entry["pid"] for entries in parts for entry in entries}

    def spares(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.pid not in self.serving()]


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


@contextmanager
def _running(directory: Path, *arguments: str) -> Iterator[Running]:
    output = directory.with_suffix(".output")
    (directory / "run.json").unlink(missing_ok=True)  # of a run that was killed: it would be taken for the new one
    with output.open("wb") as file:
        process = subprocess.Popen([*PARLEY, *arguments, "--data", str(directory)], stdout=file, stderr=file)
    with process:
        running = Running(process, directory, output)
        try:
            _until(lambda: (directory / "run.json").exists() or process.poll() is not None)
            assert process.returncode is None, output.read_text()
            yield running
        finally:
            process.terminate()


def _refused(*arguments: str) -> str:
    """Return what is said when Parley does not start."""
    done = subprocess.run([*PARLEY, *arguments], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


def _idle(process: psutil.Process) -> bool:
    """Tell whether a process has had nothing to do for a while: a spare one is then prepared."""
    before = process.cpu_times()
    time.sleep(0.5)
    return process.cpu_times() == before


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port = free_port(2)
    directory = tmp_path_factory.mktemp("up") / "data"
    with _running(directory, "up", "--port", str(port), "--replicas", "2", "--workers", "2") as running:
        yield running


def test_run_json_names_every_process_and_each_serves(up: Running) -> None:
    state = up.state()
    first, second = (entry["url"] for entry in state["api"])

    assert state.keys() == {"api", "workers", "mongo", "redis", "kafka"}
    assert len(state["workers"]) == 2
    assert int(second.rpartition(":")[2]) == int(first.rpartition(":")[2]) + 1
    assert up.serving() <= {child.pid for child in up.children()}
    urls = [entry["url"] for entry in (*state["api"], *state["workers"])]
    assert [httpx.get(f"{url}/health/ready").status_code for url in urls] == [200] * 4
    assert httpx.get(f"{state['workers'][0]['url']}/health").json()["status"] == "HEALTHY"
    assert Redis.from_url(state["redis"]["url"]).ping()


def test_the_urls_are_printed(up: Running) -> None:
    state = up.state()
    first, second = (entry["url"] for entry in state["api"])
    _until(lambda: "Ctrl-C" in up.output.read_text())
    printed = up.output.read_text().split()

    assert {f"{first}/graphql", f"{first}/health", f"{second}/graphql", str(up.directory)} < set(printed)
    assert {state["mongo"]["url"], state["redis"]["url"], state["kafka"]["url"]} < set(printed)


def test_a_second_run_on_the_directory_is_refused(up: Running) -> None:
    said = _refused("up", "--data", str(up.directory), "--port", str(free_port()))

    assert said.startswith(f"parley: Parley already runs on {up.directory} (pid {up.process.pid});")
    assert up.state()


@pytest.mark.parametrize("name", ["mongo", "redis", "kafka", "api", "workers"])
def test_what_dies_is_back_with_its_data_and_in_run_json(up: Running, name: str) -> None:
    before = up.state()

    def entry(state: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = state[name][1] if name in {"api", "workers"} else state[name]
        return found

    documents = MongoClient[dict[str, Any]](before["mongo"]["url"]).kept.documents
    redis = Redis.from_url(before["redis"]["url"])
    with documents.database.client, redis:
        documents.replace_one({"_id": name}, {"_id": name, "kept": True}, upsert=True)
        redis.set(name, "kept")
        _until(lambda: len(up.spares()) == 6 and all(map(_idle, up.spares())))
        os.kill(entry(before)["pid"], signal.SIGKILL)
        _until(lambda: entry(up.state())["pid"] != entry(before)["pid"])
        after = up.state()
        entry(before)["pid"] = entry(after)["pid"]

        assert after == before
        assert documents.find_one({"_id": name}) == {"_id": name, "kept": True}
        assert redis.get(name) == b"kept"
        # The API's connections to what died notice in their own time that it is back.
        _until(lambda: all(httpx.get(f"{api['url']}/health/ready").status_code == 200 for api in after["api"]))


def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    with _running(tmp_path / "data", "up", "--port", str(free_port())) as running:
        children = running.children()
        running.process.kill()
        running.process.wait()
        _until(lambda: _gone(children))

    assert len(children) == 10  # of which four are spare, and one is the broker behind the embedded Kafka


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    with _running(tmp_path / "data", "stack") as running:
        children = running.children()
        running.process.send_signal(number)
        code = running.process.wait(DEADLINE_SECONDS)

        assert code == 0
        assert _gone(children)
        assert not (running.directory / "run.json").exists()


def test_a_signal_while_it_starts_stops_everything(tmp_path: Path) -> None:
    process = subprocess.Popen([*PARLEY, "stack", "--data", str(tmp_path / "data")])
    with process:
        _until(lambda: len(psutil.Process(process.pid).children()) == 3)
        children = psutil.Process(process.pid).children()
        process.terminate()

        assert process.wait(DEADLINE_SECONDS) == 0
        assert _gone(children)


def test_a_run_after_a_killed_one_has_the_same_urls_and_the_data(tmp_path: Path) -> None:
    with _running(tmp_path / "data", "stack") as running:
        before = running.state()
        with Redis.from_url(before["redis"]["url"]) as redis:
            redis.set("name", "value")
        running.process.kill()
    with _running(tmp_path / "data", "stack") as running:
        after = running.state()
        with Redis.from_url(after["redis"]["url"]) as redis:
            value = redis.get("name")

    assert [after[name]["url"] for name in SERVERS] == [before[name]["url"] for name in SERVERS]
    assert value == b"value"


def test_a_remembered_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    with socket.create_server(("127.0.0.1", free_port())) as other:
        taken = other.getsockname()[1]
        (directory / "ports.json").write_text(json.dumps({"mongo": free_port(taken=[taken]), "redis": taken}))
        with _running(directory, "stack") as running:
            state = running.state()
            _until(lambda: "PARLEY_KAFKA_URL" in running.output.read_text())

            assert state["api"] == []
            assert running.output.read_text().splitlines() == [
                f"PARLEY_MONGO_URL={state['mongo']['url']}",
                f"PARLEY_REDIS_URL={state['redis']['url']}",
                f"PARLEY_KAFKA_URL={state['kafka']['url']}",
            ]
            assert not state["redis"]["url"].endswith(f":{taken}/0")


def test_a_taken_api_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        said = _refused("up", "--data", str(tmp_path / "data"), "--port", str(port))

    assert said == f"parley: Port {port} on 127.0.0.1 is taken; choose another with --port.\n"
    assert list((tmp_path / "data" / "logs").iterdir()) == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = _refused("stack", "--data", str(tmp_path / "file" / "data"))

    assert said == f"parley: Cannot write to {tmp_path}/file/data: Not a directory\n"


def test_an_api_that_does_not_start_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_ACCESS_TOKEN_SECONDS", "soon")
    port = free_port()
    said = _refused("up", "--data", str(tmp_path / "data"), "--port", str(port))

    assert re.match(r"parley: (api|worker)-\d+ ended with exit code 1 at its start; the end of ", said)
    assert "access_token_seconds" in said


def test_the_version_is_printed() -> None:
    assert subprocess.check_output([*PARLEY, "--version"], text=True).startswith("parley 0.")
