"""What can go wrong, in words and codes for clients; everything else that goes wrong is INTERNAL and stays inside.

A `UserError` is something the user can correct and becomes an entry of a payload's `userErrors`; any other `ChatError`
becomes a top-level error with `extensions.code`.
"""

from enum import StrEnum


class UserErrorCode(StrEnum):
    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"


class ChatError(Exception):
    """An error that a caller may see whole."""

    code: str
    retryable = False

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms


class UserError(ChatError):
    """Something the user can correct; `path` points into the input, as in `("input", "body")`."""

    def __init__(self, message: str, path: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.path = path


class InvalidInput(UserError):
    code = UserErrorCode.INVALID_INPUT


class NotFound(UserError):
    """Missing, or hidden from the caller: the two look the same."""

    code = UserErrorCode.NOT_FOUND


class Forbidden(UserError):
    code = UserErrorCode.FORBIDDEN


class Conflict(UserError):
    code = UserErrorCode.CONFLICT


class InvalidCredentials(UserError):
    code = UserErrorCode.INVALID_CREDENTIALS


class RateLimited(UserError):
    """It was one too many; nothing was changed, and after a while it is not."""

    code = UserErrorCode.RATE_LIMITED
    retryable = True

    def __init__(self, message: str, *, bucket: str, limit: int, retry_after_ms: int) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.limit = limit
        self.retry_after_ms: int = retry_after_ms


class Unauthenticated(ChatError):
    code = "UNAUTHENTICATED"


class TokenExpired(ChatError):
    code = "TOKEN_EXPIRED"


class BadUserInput(ChatError):
    """The caller's code, not its user, got an argument wrong."""

    code = "BAD_USER_INPUT"


class Missing(ChatError):
    """A subscription's subject is missing, or hidden from the caller."""

    code = "NOT_FOUND"


class Unavailable(ChatError):
    """A part that this needs does not answer; nothing was changed."""

    code = "UNAVAILABLE"
    retryable = True


class Overloaded(ChatError):
    """Too much at once; nothing was changed."""

    code = "OVERLOADED"
    retryable = True


class CommitUnknown(ChatError):
    """The write may or may not have happened; repeating it with the same client id settles it."""

    code = "COMMIT_UNKNOWN"
    retryable = True
