"""How often somebody has guessed an account's password wrongly, and how long the next guess has to wait for that.

It is kept in MongoDB, so it outlives Redis and every process. Handles that nobody has are treated as those that
somebody has. An attempt counts before the password is looked at: of many at once, no more are made than may be.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pymongo.errors import DuplicateKeyError

from services import handles
from services.errors import RateLimited
from services.ids import derived_id
from services.mongo import Collection, Database, Document

COLLECTION: Final = "attempts"
FREE: Final = 3  # wrong guesses that cost nothing
FIRST_DELAY: Final = timedelta(seconds=1)  # after one more; each further one doubles it
LONGEST_DELAY: Final = timedelta(minutes=15)
FORGOTTEN_AFTER: Final = timedelta(days=1)  # without another guess

_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_BUCKET: Final = "password"
_LONGEST_HANDLE: Final = 1_000  # characters of what somebody typed that count


@dataclass(frozen=True, slots=True)
class Attempt:
    """A guess that has been counted."""

    id: str
    failures: int  # with this one, until it proves to be none


class Attempts:
    """The guesses at all accounts."""

    def __init__(self, database: Database, *, enabled: bool = True) -> None:
        """Prepare; where limits are off every guess is free."""
        self._attempts: Collection = database[COLLECTION]
        self._enabled = enabled

    async def begin(self, handle: str, now: datetime) -> Attempt:
        """Count a guess at an account's password, as if it were wrong.

        Raises:
            RateLimited: it is too early for one; it was not counted.
        """
        guesses = attempt_id(handle)
        while self._enabled:
            stored = await self._attempts.find_one({"_id": guesses})
            if stored is not None and now < stored["until"]:
                raise _too_early(stored["until"] - now)
            failures = 1 if stored is None or is_forgotten(stored, now) else stored["failures"] + 1
            fields = {"failures": failures, "at": now, "until": now + delay_after(failures)}
            if await self._put(guesses, stored, fields):
                return Attempt(guesses, failures)
        return Attempt(guesses, 0)

    async def succeeded(self, attempt: Attempt) -> None:
        """Forget all guesses: this one was right."""
        if attempt.failures:
            await self._attempts.delete_one({"_id": attempt.id})

    async def take_back(self, attempt: Attempt) -> None:
        """Count a guess no more, at which nobody has looked."""
        if attempt.failures:
            fields = {"failures": attempt.failures - 1, "until": _LONG_AGO}
            await self._attempts.update_one({"_id": attempt.id, "failures": attempt.failures}, {"$set": fields})

    async def _put(self, guesses: str, stored: Document | None, fields: Document) -> bool:
        """Store a count unless somebody else was faster; return whether nobody was."""
        if stored is None:
            try:
                await self._attempts.insert_one({"_id": guesses, **fields})
            except DuplicateKeyError:
                return False
            return True
        unchanged = {"_id": guesses, "failures": stored["failures"], "at": stored["at"]}
        return await self._attempts.update_one(unchanged, {"$set": fields})


def delay_after(failures: int) -> timedelta:
    """Return how long to wait after so many wrong guesses in a row."""
    if failures < FREE:
        return timedelta(0)
    return min(FIRST_DELAY * (1 << min(failures - FREE, 20)), LONGEST_DELAY)


def is_forgotten(stored: Document, now: datetime) -> bool:
    """Whether it was so long ago that it does not count any more."""
    at: datetime = stored["at"]
    return at + FORGOTTEN_AFTER < now


def _too_early(wait: timedelta) -> RateLimited:
    return RateLimited(
        "The password was wrong too often. Wait before the next try.",
        bucket=_BUCKET,
        limit=1,
        retry_after_ms=max(1, int(wait.total_seconds() * 1_000)),
    )


def attempt_id(handle: str) -> str:
    """Return under what id guesses at an account count."""
    # Only a digest: what somebody typed may be a password, in the wrong field.
    typed = handle[:_LONGEST_HANDLE]
    return derived_id("att", handles.normalised(typed) or ascii(typed))
