"""What a signed-in client is told about its own session while it stays connected."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Never


class SessionNoticeKind(StrEnum):
    EXPIRING = "EXPIRING"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class SessionNotice:
    """Something that concerns the session."""

    kind: SessionNoticeKind
    expires_at: datetime | None = None  # when the access token ends; None where it has no say any more


@dataclass(frozen=True, slots=True)
class SessionStream:
    """A subscription to the notices of the connection that it is made on."""

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for; the connection serves it."""
        raise TypeError("a stream is served, not iterated")
