"""Circuit breakers: a part that has lately not answered is not asked for a moment, so that nobody waits for it in vain.

After five failures in a row the circuit is open for a second; then one caller tries, and its luck decides for all.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from purgatory import ContextChanged, Event, SyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

FAILURES = 5
OPEN_SECONDS = 1.0

_logger = structlog.get_logger()


class CircuitOpenError(Exception):
    """The part has lately not answered, and was not asked now: nothing happened."""


class Breaker:
    """The circuit to one part."""

    def __init__(self, name: str, failures: tuple[type[Exception], ...]) -> None:
        """Prepare a closed circuit.

        Args:
            name: What the log calls the part.
            failures: What says that the part does not answer; anything else that is raised is an answer.
        """
        circuits = SyncCircuitBreakerFactory(
            default_threshold=FAILURES,
            default_ttl=OPEN_SECONDS,
            exclude=[(BaseException, lambda error: not isinstance(error, failures))],
        )
        circuits.add_listener(self._changed)
        self._circuit = circuits.get_breaker(name)
        self._trying_until = 0.0  # while one caller tries an open circuit, the others wait for how that ends

    @property
    def closed(self) -> bool:
        """Whether the part has answered lately."""
        return bool(self._circuit.context.state == "closed")

    @contextmanager
    def guard(self, seconds: float) -> Iterator[None]:
        """Let a call of at most so many seconds through, and learn from how it ends.

        Raises:
            CircuitOpenError: the circuit is open.
        """
        now = time.monotonic()
        if not self.closed and now < self._trying_until:
            raise CircuitOpenError
        try:
            with self._circuit:
                if not self.closed:
                    self._trying_until = now + seconds
                yield
        except OpenedState as opened:
            opened.__traceback__ = None  # one exception object serves all refusals: it must not collect their frames
            raise CircuitOpenError from None
        finally:
            if self.closed:
                self._trying_until = 0.0

    @staticmethod
    def _changed(name: str, kind: str, event: Event) -> None:
        if kind == "state_changed" and isinstance(event, ContextChanged):
            _logger.warning("breaker.changed", part=name, state=event.state)
