"""What may come back from whatever is sent, and a watch over the processes that it is sent to.

`FUZZ_CASES=20000 .venv/bin/python -m pytest -s tests/api/test_fuzz_schema.py tests/api/test_fuzz_sockets.py` sends that
many; without it a share is sent that takes seconds.
"""

import asyncio
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import psutil
from graphql import get_introspection_query

from tests.clients import Api, Json, Person
from tests.stack_process import StackProcess

SHARE: Final = 600
CASES: Final = int(os.environ.get("FUZZ_CASES", SHARE))
FLAT_BYTES: Final = 48 * 2**20  # by which the memory of a process may differ, however much it was sent
WARMING: Final = 150  # long documents: they fill the memory which a process keeps for those that it has seen

CODES: Final = frozenset(
    {
        "BAD_USER_INPUT",
        "COMMIT_UNKNOWN",
        "FORBIDDEN",
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "NOT_FOUND",
        "OVERLOADED",
        "PAYLOAD_TOO_LARGE",
        "QUERY_TOO_COMPLEX",
        "TIMEOUT",
        "TOKEN_EXPIRED",
        "UNAUTHENTICATED",
        "UNAVAILABLE",
    }
)
USER_CODES: Final = frozenset({"INVALID_INPUT", "NOT_FOUND", "FORBIDDEN", "CONFLICT", "INVALID_CREDENTIALS"})
INSIDE: Final = ("Traceback", 'File "', "site-packages", "NoneType", "object has no", "pymongo", "coroutine", "<class")


def judge(response: Json) -> None:
    """See that a response says nothing of the inside, and whatever it refuses with a code that clients know."""
    assert response.keys() <= {"data", "errors"}, response
    for error in response.get("errors", ()):
        judge_error(error)
    for payload in (response.get("data") or {}).values():
        for error in (payload or {}).get("userErrors", ()) if isinstance(payload, dict) else ():
            assert error.get("code", "NOT_FOUND") in USER_CODES, error
            judge_message(error.get("message", ""))


def judge_error(error: Json) -> None:
    """See that an error has its code, and no words of the inside."""
    assert error["extensions"]["code"] in CODES, error
    judge_message(error["message"])


def judge_message(message: object) -> None:
    """See that what a client is told is one short text."""
    assert isinstance(message, str)
    assert len(message) <= 1_000
    assert not any(word in message for word in INSIDE), message


@dataclass
class Watch:
    """The API processes of a stack: what they log, and how much memory they take."""

    stack: StackProcess
    _read: dict[str, int] = field(default_factory=dict)
    _memory: list[int] = field(default_factory=list)

    @classmethod
    def over(cls, stack: StackProcess) -> "Watch":
        """Begin; what was logged before does not count."""
        watch = cls(stack)
        watch.new_lines()
        return watch

    def new_lines(self) -> str:
        """Return what was logged since it was last asked."""
        found = ""
        for log in sorted((self.stack.directory / "logs").glob("api-*.log")):
            with log.open() as file:
                file.seek(self._read.get(log.name, 0))
                found += file.read()
                self._read[log.name] = file.tell()
        return found

    def look(self) -> None:
        """See that nothing was logged which is an error, and note the memory."""
        lines = self.new_lines()
        assert "Traceback" not in lines, lines
        assert '"level": "error"' not in lines, lines
        self._memory.append(max(psutil.Process(entry["pid"]).memory_info().rss for entry in self.stack.run()["api"]))

    def end(self, cases: int) -> None:
        """See that the memory is what it was, but for a little."""
        self.look()
        megabytes = [f"{taken / 2**20:.0f}" for taken in self._memory]
        print(f"\n{cases} cases; MiB of the largest process: {' '.join(megabytes)}")
        assert self._memory[-1] - self._memory[0] < FLAT_BYTES, megabytes


@dataclass(frozen=True, slots=True)
class World:
    """What there is for strangers to point at."""

    ann: Person
    names: tuple[str, ...]  # ids, cursors and handles


@cache
def world(stack: StackProcess) -> World:
    """Make people who talk, and fill the memory that processes keep for documents; once for each stack."""
    return asyncio.run(_prepared(stack))


async def _prepared(stack: StackProcess) -> World:
    async with Api(stack.urls[0]) as api:
        ann, bob = await api.register(), await api.register()
        own, foreign = await ann.talk(bob), await bob.talk()
        sent = [(await person.send(talk["id"], "hello"))["message"] for person, talk in ((ann, own), (bob, foreign))]
        conversations = [talk[key] for talk in (own, foreign) for key in ("id", "cursor")]
        names = (ann.id, bob.id, ann.handle, bob.handle, *conversations, *(message["id"] for message in sent))
    for url in stack.urls:
        async with Api(url) as api:
            for number in range(WARMING):
                await api.post(f"# {number}\n{get_introspection_query()}")
    return World(ann, names)
