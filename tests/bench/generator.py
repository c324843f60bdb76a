"""The Python end of `generator.mjs`: starts it, and asks it for one thing after the other."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_suffix(".mjs")
STALLED_SECONDS = 10.0  # where nothing has come for so long, nothing will
NODE = str(ROOT / "tools" / "node.sh")

type Json = dict[str, Any]


class Generator:
    """A running generator; each method returns what it counted, with the totals since its start."""

    def __init__(self, process: subprocess.Popen[str], say: Callable[[str], None]) -> None:
        self._process = process
        self._say = say

    def connect(self, count: int) -> Json:
        """Open so many more subscribers and wait until they are subscribed."""
        return self._ask("connect", count=count)

    def warm(self, events: int) -> Json:
        """Send until every subscriber has had a message, and so many events at least."""
        return self._ask("warm", events=events)

    def publish(self, events: int, rate: float = 0.0) -> Json:
        """Send so many events and wait for the deliveries.

        Without a rate each is sent when the one before is acknowledged, else so many in a second.
        """
        return self._ask("publish", events=events, rate=rate)

    def reconnect(self, events: int) -> Json:
        """Cut all connections, send so many events, and let all come back at once."""
        return self._ask("reconnect", events=events)

    def status(self) -> Json:
        """Return the totals."""
        return self._ask("status")

    def _ask(self, command: str, **options: float) -> Json:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"command": command, **options}) + "\n")
        stdin.flush()
        for line in stdout:
            said = json.loads(line)
            if "answer" in said:
                answer: Json = said["answer"]
                return answer
            self._say(said["progress"])
        raise RuntimeError("The generator has ended.")


@contextmanager
def running(server: Json, say: Callable[[str], None], stalled_seconds: float = STALLED_SECONDS) -> Iterator[Generator]:
    """Run a generator against a server for the duration of the block.

    Args:
        server: How to speak to it: url, protocol, and for GraphQL the operations (`tests/bench/servers.py`).
        say: Gets lines of progress.
        stalled_seconds: How long it waits, while nothing comes, for what is missing.
    """
    process = subprocess.Popen(
        [NODE, "node", str(PROGRAM), json.dumps({**server, "stalled_ms": stalled_seconds * 1e3})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Generator(process, say)
        finally:
            process.kill()
