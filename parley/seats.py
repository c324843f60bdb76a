"""How many sockets each caller has open at this process, and whether one more may be; it closes none."""

from collections import Counter


class Seats:
    """Counts by name, up to a bound; whoever has none is not remembered."""

    __slots__ = ("_bound", "_taken")

    def __init__(self, bound: int | None) -> None:
        """Count up to so many for each name; None: as many as one likes, and nobody is counted."""
        self._bound = bound
        self._taken = Counter[str]()

    def take(self, name: str) -> bool:
        """Count one more; return whether it may be, else it does not count."""
        if self._bound is None:
            return True
        if self._taken[name] >= self._bound:
            return False
        self._taken[name] += 1
        return True

    def leave(self, name: str) -> None:
        """Count one less."""
        if self._bound is None:
            return
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]

    def __len__(self) -> int:
        """Return how many names are counted."""
        return len(self._taken)
