"""Child processes: started in order, started again when they die, stopped in reverse order, never orphaned."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # from <linux/prctl.h>
PROBE_INTERVAL_SECONDS: Final = 0.02
QUICK_DEATH_SECONDS: Final = 5.0  # a child that dies again within this time of its start waits before the next one
LONGEST_PAUSE_SECONDS: Final = 1.0  # even a child that is killed again and again is back within 2 s
LOG_BYTES: Final = 10_000_000  # a larger log is put aside at the next start
LOG_LINES: Final = 20  # shown of the log of a child that does not start


class StartError(Exception):
    """Parley cannot start; the message tells the person who started it why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What to run, and how to see that it serves."""

    name: str
    argv: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of our own
    spare: bool = False  # the program begins at a line on its standard input; one is kept waiting for a quick restart
    start_seconds: float = 60.0
    grace_seconds: float = 10.0  # from SIGTERM to SIGKILL
    niceness: int = 0  # how much it yields to the others when there are too few cores


class Supervisor:
    """Runs the children of each stage, which need those of the stages before."""

    def __init__(
        self,
        stages: Sequence[Sequence[Child]],
        *,
        logs: Path,
        restarted: Callable[[], None],
        say: Callable[[str], None],
        inherited: Sequence[int] = (),
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            stages: Children of a stage start at the same time.
            logs: An existing directory; each child's output is appended to `<name>.log` in it.
            restarted: Called when a child that died serves again, with another pid.
            say: Tells a person what happened to a child.
            inherited: File descriptors that stay open in every child.
        """
        self._stages = stages
        self._logs = logs
        self._restarted = restarted
        self._say = say
        self._inherited = inherited
        self._processes: dict[str, Process] = {}
        self._serving: dict[str, int] = {}  # the pid of each child that has been ready
        self._spares: dict[str, Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    def pid(self, name: str) -> int:
        """Return the process id of a child: of the one that died until its successor serves."""
        return self._serving[name]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the children for the duration of the block; it begins when all are ready.

        Cancelled while it stops the children, it kills those it is waiting for.

        Raises:
            StartError: A child does not start; none is left running.
        """
        async with AsyncExitStack() as stack:
            for stage in self._stages:
                stack.push_async_callback(self._stop, stage)
                for child in stage:
                    self._rotate(child)
            await self._launch_spares()  # they prepare themselves while the stages before theirs start
            for stage in self._stages:
                try:
                    async with asyncio.TaskGroup() as starting:
                        for child in stage:
                            starting.create_task(self._start(child))
                except ExceptionGroup as group:
                    raise group.exceptions[0] from None
                for child in stage:
                    self._keepers[child.name] = asyncio.create_task(self._keep(child))
            await self._launch_spares()  # for restarts
            yield

    async def forever(self) -> None:
        """Wait until cancelled, or until keeping a child running has failed."""
        await asyncio.gather(*self._keepers.values())

    async def _keep(self, child: Child) -> None:
        started, pause = -QUICK_DEATH_SECONDS, 0.0
        while True:
            code = await self._processes[child.name].wait()
            quick = time.monotonic() - started < QUICK_DEATH_SECONDS
            pause = min(2 * pause + 0.125, LONGEST_PAUSE_SECONDS) if quick else 0.0
            self._say(f"{child.name} {_ended(code)}; it is started again")
            await asyncio.sleep(pause)
            started = time.monotonic()
            try:
                await self._start(child)
                self._restarted()
                await self._launch_spare(child)
            except (StartError, OSError) as error:
                self._say(str(error).partition("\n")[0])

    async def _start(self, child: Child) -> None:
        process = self._spares.pop(child.name, None)
        if process is None or process.returncode is not None:
            process = await self._launch(child)
        self._processes[child.name] = process
        if process.stdin is not None:
            process.stdin.write(b"\n")
            process.stdin.close()
        try:
            async with asyncio.timeout(child.start_seconds):
                while True:
                    answers = await child.ready()
                    if process.returncode is not None:
                        raise StartError(f"{child.name} {_ended(process.returncode)} at its start{self._tail(child)}")
                    if answers:
                        self._serving[child.name] = process.pid
                        return
                    await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        except TimeoutError:
            await _kill(process)
            raise StartError(
                f"{child.name} was not ready within {child.start_seconds:g} s{self._tail(child)}"
            ) from None

    async def _launch_spares(self) -> None:
        for stage in self._stages:
            for child in stage:
                await self._launch_spare(child)

    async def _launch_spare(self, child: Child) -> None:
        if child.spare and child.name not in self._spares:
            self._spares[child.name] = await self._launch(child)

    async def _launch(self, child: Child) -> Process:
        try:
            with self._log(child).open("ab") as output:
                return await asyncio.create_subprocess_exec(
                    *child.argv,
                    env={**os.environ, **child.env},
                    stdin=PIPE if child.spare else DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    start_new_session=True,  # Ctrl-C in the terminal is for us alone: we stop the children in order
                    preexec_fn=die_with_us(child.niceness),
                    pass_fds=self._inherited,
                )
        except OSError as error:
            raise StartError(f"{child.name} cannot be run: {error}") from error

    async def _stop(self, stage: Sequence[Child]) -> None:
        await asyncio.gather(*(self._end(child) for child in stage))

    async def _end(self, child: Child) -> None:
        try:
            if keeper := self._keepers.pop(child.name, None):
                keeper.cancel()
                await asyncio.wait([keeper])
            if process := self._processes.get(child.name):
                with suppress(ProcessLookupError):
                    process.terminate()
                with suppress(TimeoutError):
                    async with asyncio.timeout(child.grace_seconds):
                        await process.wait()
        finally:
            for processes in (self._processes, self._spares):
                if process := processes.pop(child.name, None):
                    await _kill(process)

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _rotate(self, child: Child) -> None:
        log = self._log(child)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))

    def _tail(self, child: Child) -> str:
        lines = self._log(child).read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"; the end of {self._log(child)}:", *(f"  {line}" for line in lines)])


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def die_with_us(niceness: int = 0) -> Callable[[], None] | None:
    """Return what a child does before its program: it yields, and the kernel kills it when this process is gone."""
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def bind() -> None:
        os.nice(niceness)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # we died before the kernel knew
            os._exit(1)

    return bind
