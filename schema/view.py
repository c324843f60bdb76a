"""Views: GraphQL types that show domain values, and mutations that hand plain arguments to a resolver."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import strawberry
from strawberry.types.field import StrawberryField

from resolvers.context import Context
from resolvers.payload import Payload
from services.clock import rfc3339


def view[T: type](domain: type | tuple[type, ...], description: str, name: str | None = None) -> Callable[[T], T]:
    """Make a class the GraphQL type that shows values of a domain class."""

    def shows(value: object, _info: object) -> bool:
        return isinstance(value, domain)

    def decorate(cls: T) -> T:
        cls.is_type_of = shows  # type: ignore[attr-defined]  # Strawberry looks for it
        return strawberry.type(cls, name=name, description=description)

    return decorate


def field(description: str, name: str | None = None) -> Any:
    """Return a field that shows the attribute of the same name."""
    return strawberry.field(description=description, name=name)


def enumeration(cls: type[StrEnum], description: str, **values: str) -> None:
    """Make an enum of the services a GraphQL one; each of its values is described by name."""
    strawberry.enum(cls, description=description)
    for value in cls.__strawberry_definition__.values:  # type: ignore[attr-defined]  # Strawberry has just put it there
        value.description = values.pop(value.name)
    assert not values, values


def resolved(resolver: Callable[..., Any], graphql_type: object, description: str) -> Any:
    """Return a field that a resolver answers."""
    return strawberry.field(resolver=resolver, graphql_type=graphql_type, description=description)


def mutation(
    resolver: Callable[..., Awaitable[Payload]], input_type: type, payload_type: type, description: str
) -> StrawberryField:
    """Return a mutation that takes one `input` and hands its fields to the resolver by name."""

    async def resolve(info: strawberry.Info[Context, None], input: Any) -> Payload:  # its type is set below
        return await resolver(info, **vars(input))

    described = strawberry.argument(description="What to do, in one object.")
    resolve.__annotations__["input"] = Annotated[input_type, described]
    made: StrawberryField = strawberry.mutation(resolver=resolve, graphql_type=payload_type, description=description)
    return made


def parse_date_time(value: str) -> datetime:
    """Return the time of an RFC 3339 string.

    Raises:
        ValueError: it is none, or names no offset.
    """
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("A DateTime is an RFC 3339 timestamp.") from None
    if time.tzinfo is None:
        raise ValueError("A DateTime names its offset from UTC.")
    return time.astimezone(UTC)


DateTime = strawberry.scalar(
    name="DateTime",
    description="An RFC 3339 timestamp in UTC with milliseconds.",
    specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
    serialize=rfc3339,
    parse_value=parse_date_time,
)
