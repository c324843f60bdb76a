"""What a mutation answers: the changed object, or why it was refused."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate

import strawberry

from resolvers.context import Info
from services.errors import RateLimited, UserError, UserErrorCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """A user error as data: GraphQL would take the exception itself for a failure of the field."""

    code: UserErrorCode
    message: str
    path: list[str] | None


@dataclass(frozen=True, slots=True)
class Excess(Refusal):
    """A refusal because it was one too many."""

    bucket: str
    limit: int
    retry_after_ms: int


class Payload:
    """The fields of a mutation's payload; all null when it was refused."""

    user_errors: Sequence[Refusal] = ()

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> None:
        return None


def given(**fields: object) -> Any:
    """Return those fields of an input that the caller gave, null or not."""
    return {name: value for name, value in fields.items() if value is not strawberry.UNSET}


def not_null(**fields: object) -> Any:
    """Return those fields of an input that are not null, where null means the same as leaving out."""
    return {name: value for name, value in fields.items() if value is not None}


def refusable[**P](
    resolver: Callable[Concatenate[Info, P], Awaitable[Payload]],
) -> Callable[Concatenate[Info, P], Awaitable[Payload]]:
    """Count a mutation where it has a limit, and turn what the user can correct into the payload's `userErrors`."""

    @wraps(resolver)
    async def answer(info: Info, *args: P.args, **kwargs: P.kwargs) -> Payload:
        try:
            await info.context.allowance.take_field(info.field_name)
            return await resolver(info, *args, **kwargs)
        except UserError as error:
            info.context.services.meter.count("error", str(error.code))
            return Payload(user_errors=[_refusal(error)])
        finally:
            info.context.loaders.forget()

    return answer  # type: ignore[return-value]  # mypy minds that its first argument has a name


def _refusal(error: UserError) -> Refusal:
    code, path = UserErrorCode(error.code), None if error.path is None else list(error.path)
    if isinstance(error, RateLimited):
        return Excess(code, error.message, path, error.bucket, error.limit, error.retry_after_ms)
    return Refusal(code, error.message, path)
