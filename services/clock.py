"""The time as Parley stores it."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_offset = timedelta(0)


def shift(seconds: float) -> None:
    """Let this process's clock be wrong by so much: once, at its start, to see what that breaks."""
    global _offset  # noqa: PLW0603  # a process has one clock
    _offset = timedelta(seconds=seconds)


@lru_cache(16_384)  # what is in memory is shown again and again
def rfc3339(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds, as GraphQL and webhooks write it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    """Return the present time in UTC, cut to the milliseconds that MongoDB keeps."""
    time = datetime.now(UTC) + _offset
    return time.replace(microsecond=time.microsecond // 1_000 * 1_000)
