"""What the caller can correct."""

import strawberry

from resolvers.payload import Excess, Refusal
from schema.view import enumeration, field, view
from services.errors import UserErrorCode

enumeration(
    UserErrorCode,
    "Why a mutation was refused.",
    INVALID_INPUT="A value cannot be accepted as it is.",
    NOT_FOUND="It does not exist, or the caller may not know that it does.",
    FORBIDDEN="The caller may not do that.",
    CONFLICT="It is no longer, or already, as the caller assumes.",
    RATE_LIMITED="One too many; it can be accepted later, as it is.",
    INVALID_CREDENTIALS="The password or the token is not the right one.",
)


@strawberry.interface(description="Something the caller can correct.")
class UserError:
    code: UserErrorCode = field("Which kind of mistake it is.")
    message: str = field("What is wrong, for people.")
    path: list[str] | None = field('Where in the input, as in `["input", "body"]`; null when it is the whole.')


@view(Refusal, "An input that cannot be accepted as it is.")
class InputError(UserError):
    pass


@view(Excess, "One too many: it can be accepted later, as it is.")
class RateLimitError(UserError):
    bucket: str = field("Which limit it is, as in `Viewer.rateLimits`.")
    limit: int = field("How many are accepted in the limit's window.")
    retry_after_ms: int = field("After how many milliseconds the next one is accepted.")


@strawberry.type
class Refusable:
    """The part that all payloads have."""

    user_errors: list[UserError] = field("Why it was refused; empty when it was done.")
