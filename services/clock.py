"""The time as Parley stores it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time in UTC, cut to the milliseconds that MongoDB keeps."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1_000 * 1_000)
