"""How much this process still takes on: when it has too much, what matters least is refused first, and sends last."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import structlog

from services.errors import Overloaded

if TYPE_CHECKING:
    from parley.execution import Operation

LAG_SECONDS: Final = 0.25  # how late the event loop may turn
PATIENCE_SECONDS: Final = 3.0  # for which it may be later than that before more is refused; and as long after it is not
IN_FLIGHT: Final = (1_000, 1_500, 1_750, 2_000)  # operations under way from which on each criticality is refused
RETRY_MS: Final = (1_000, 3_000)  # after which a refused client may come back, so that not all come at once

_OPTIONAL: Final = frozenset({"setTyping", "typing", "setPresence", "presence"})
_ALWAYS: Final = frozenset({"health", "__typename"})  # whoever asks how it is shall hear it

_logger = structlog.get_logger()


class Criticality(IntEnum):
    """What is refused, in this order."""

    OPTIONAL = 1  # typing and presence
    READING = 2  # history and search: everything that is asked
    ARRIVING = 3  # new sockets and new subscriptions
    WRITING = 4  # sends, and everything else that changes something


def criticality(operation: "Operation") -> Criticality | None:
    """Return how much an operation matters; None: it is never refused."""
    if operation.fields <= _ALWAYS:
        return None
    if operation.fields <= _OPTIONAL:
        return Criticality.OPTIONAL
    if operation.is_subscription:
        return Criticality.ARRIVING
    return Criticality.WRITING if operation.is_mutation else Criticality.READING


class Load:
    """What is under way in this process, and how late its event loop is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.in_flight = 0
        self._clock = clock
        self._refused = 0  # the highest criticality that is refused because of the lag; 0: nothing is
        self._since = clock()  # since when it has been late, or in time, without a break
        self._is_late = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count one more operation for as long as the block lasts."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def takes(self, asked: Criticality) -> bool:
        """Whether something of this criticality is still taken on."""
        return asked > self._refused and self.in_flight < IN_FLIGHT[asked - 1]

    def admit(self, operation: "Operation") -> None:
        """Let an operation begin.

        Raises:
            Overloaded: there is too much to do already for one that matters as much as this.
        """
        asked = criticality(operation)
        if asked is not None and not self.takes(asked):
            raise Overloaded(
                "There is too much to do at the moment. Try again.",
                retry_after_ms=random.randint(*RETRY_MS),  # noqa: S311  # so that not all come at once
            )

    def note(self, lag_seconds: float) -> None:
        """Take note of how late the event loop has just been.

        One long pause is no overload: the process may have been stopped. It must be late each time for a while.
        """
        is_late, now = lag_seconds > LAG_SECONDS, self._clock()
        if is_late is not self._is_late:
            self._is_late, self._since = is_late, now
        if now - self._since < PATIENCE_SECONDS:
            return
        refused = min(self._refused + 1, max(Criticality)) if is_late else max(self._refused - 1, 0)
        if refused != self._refused:
            self._refused = refused
            _logger.warning("load.changed", refused=[level.name for level in Criticality if level <= refused])
        self._since = now
