"""Relay's paging arguments and connections, over pages that services return."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import strawberry

from services.paging import Page

First = Annotated[
    int | None, strawberry.argument(description="How many items from the start; 50 when left out, at most 100.")
]
After = Annotated[str | None, strawberry.argument(description="Only items after this cursor.")]
Last = Annotated[
    int | None, strawberry.argument(description="How many items from the end, at most 100; not together with `first`.")
]
Before = Annotated[str | None, strawberry.argument(description="Only items before this cursor.")]


@dataclass(frozen=True, slots=True)
class Edge:
    cursor: str
    node: object


@dataclass(frozen=True, slots=True)
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    edges: list[Edge]
    nodes: list[object]
    page_info: PageInfo


def connection[T](page: Page[T], node: Callable[[T], object] = lambda value: value) -> Connection:
    """Return the page as Relay's connection."""
    edges = [Edge(cursor, node(value)) for cursor, value in page.items]
    return Connection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )
