"""How often something may be tried again: a share of all calls, so that no outage is met with twice the load."""

from typing import Final

SHARE: Final = 0.1  # of a retry that each call pays for
RESERVE: Final = 10.0  # retries that can be saved up, and what a process begins with


class RetryBudget:
    """What is left for retries to one part."""

    def __init__(self) -> None:
        self._left = RESERVE

    def note_call(self) -> None:
        """Take note of a call that is no retry."""
        self._left = min(self._left + SHARE, RESERVE)

    def take(self) -> bool:
        """Whether one more retry may be made; it is paid for then."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
