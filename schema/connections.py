"""Relay's nodes and connections."""

from typing import Generic, TypeVar

import strawberry

from schema.view import field

T = TypeVar("T")


@strawberry.interface(description="Anything that has a global id.")
class Node:
    id: strawberry.ID = field("The global id; opaque.")


@strawberry.type(description="Whether there is more on either side of a page.")
class PageInfo:
    has_next_page: bool = field("Whether items follow the page.")
    has_previous_page: bool = field("Whether items come before the page.")
    start_cursor: str | None = field("The first item's cursor; null for an empty page.")
    end_cursor: str | None = field("The last item's cursor; null for an empty page.")


@strawberry.type(description="An item of a connection and its cursor.")
class Edge(Generic[T]):  # noqa: UP046  # Strawberry reads the older spelling
    cursor: str = field("Names the item's place; opaque.")
    node: T = field("The item.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):  # noqa: UP046
    edges: list[Edge[T]] = field("The items with their cursors.")
    nodes: list[T] = field("The items alone.")
    page_info: PageInfo = field("What lies beyond the page.")
