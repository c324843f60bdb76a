"""Relay's paging arguments and connections, over pages that services return."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

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


class Connection:
    """A page with its nodes; of the rest only what is asked for is made."""

    __slots__ = ("_page", "nodes")

    def __init__(self, page: Page[Any], nodes: list[object]) -> None:
        self._page = page
        self.nodes = nodes

    @property
    def edges(self) -> list[Edge]:
        return [Edge(cursor, node) for (cursor, _), node in zip(self._page.items, self.nodes, strict=True)]

    @property
    def page_info(self) -> PageInfo:
        items = self._page.items
        return PageInfo(
            has_next_page=self._page.has_next,
            has_previous_page=self._page.has_previous,
            start_cursor=items[0][0] if items else None,
            end_cursor=items[-1][0] if items else None,
        )


def connection[T](page: Page[T], node: Callable[[T], object] | None = None) -> Connection:
    """Return the page as Relay's connection."""
    return Connection(page, [value if node is None else node(value) for _, value in page.items])
