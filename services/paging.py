"""Pages of a range of ids: Relay's paging arguments in, documents and true answers about what lies beyond out."""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from services.errors import BadUserInput
from services.mongo import Document

DEFAULT_PAGE = 50
LARGEST_PAGE = 100
LARGEST_RUN = 800  # documents in one read, where few of them are items

_KEY = re.compile("[a-z0-9_.]{1,64}")  # ids and handles


class Documents(Protocol):
    """What is read in pages: a collection, or what looks like one."""

    async def find(self, query: Document, *, limit: int = 0, descending: bool = False) -> list[Document]:
        """Return the documents that fulfil the query, in the order of their ids; at most `limit` if that is not 0."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a connection is asked for: the first or the last `limit` items between two cursors."""

    limit: int
    from_end: bool
    after: str | None
    before: str | None


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Items in the connection's order, each with its cursor, and whether there are more on either side."""

    items: list[tuple[str, T]]
    has_previous: bool
    has_next: bool


def window(first: int | None, after: str | None, last: int | None, before: str | None) -> Window:
    """Return the window of Relay's arguments.

    Raises:
        BadUserInput: both or neither direction makes sense of them, or more than 100 items are asked for.
    """
    if first is not None and last is not None:
        raise BadUserInput("`first` and `last` cannot be used together.")
    for name, count in (("first", first), ("last", last)):
        if count is not None and not 0 <= count <= LARGEST_PAGE:
            raise BadUserInput(f"`{name}` must be between 0 and {LARGEST_PAGE}.")
    if last is not None:
        return Window(last, from_end=True, after=after, before=before)
    return Window(DEFAULT_PAGE if first is None else first, from_end=False, after=after, before=before)


def cursor_of(key: str) -> str:
    """Return the cursor of an item that an id or a handle names."""
    return base64.urlsafe_b64encode(f"1:{key}".encode()).rstrip(b"=").decode()


def key_of(cursor: str, argument: str) -> str:
    """Return the id or handle of an item's cursor.

    Raises:
        BadUserInput: it is none of ours.
    """
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error):
        text = ""
    version, _, key = text.partition(":")
    if version != "1" or not _KEY.fullmatch(key):
        raise BadUserInput(f"`{argument}` is not a cursor.")
    return key


async def read_page[T](
    collection: Documents,
    span: tuple[str, str],
    window: Window,
    *,
    key: Callable[[str, str], str],
    item: Callable[[Document], tuple[str, T]],
    where: dict[str, Any] | None = None,
    is_item: Callable[[Document], bool] | None = None,
    newest_first: bool = False,
) -> Page[T]:
    """Read one page of the ids inside `span`, both ends excluded.

    `key` turns a cursor and the name of its argument into an id; `item` a document into a cursor and a value. Of the
    documents only those count that fulfil `where` in the store and `is_item` here; the latter is for spans that are
    long, and mostly made of items.
    """
    low, high = span
    after = key(window.after, "after") if window.after is not None else None
    before = key(window.before, "before") if window.before is not None else None
    if newest_first:
        after, before = before, after
    # In the order of ids now: `after` is the lower bound, `before` the upper one.
    lower, upper = max(low, after or low), min(high, before or high)
    descending = window.from_end != newest_first

    async def find(bounds: dict[str, str], limit: int, *, descending: bool) -> list[Document]:
        if is_item is not None:
            return await find_items(collection, bounds, limit, descending=descending, is_item=is_item)
        query = {"_id": bounds, **(where or {})}
        return await collection.find(query, limit=limit, descending=descending)

    async def any_in(bounds: dict[str, str], *, descending: bool) -> bool:
        return bool(await find(bounds, 1, descending=descending))

    documents: list[Document] = []
    more = False
    if lower < upper:
        documents = await find({"$gt": lower, "$lt": upper}, window.limit + 1, descending=descending)
        more = len(documents) > window.limit
        documents = documents[: window.limit]
    if descending:
        documents.reverse()
    # All between the bounds is known, if anything was asked for; what lies on one of them, usually an item, is not.
    is_known = lower < upper and window.limit > 0
    (below_end, below), (above_start, above) = (
        (("$lte", lower), ("$gte", upper)) if is_known else (("$lt", upper), ("$gt", lower))
    )
    has_below = (descending and more) or (low < below and await any_in({"$gt": low, below_end: below}, descending=True))
    has_above = (not descending and more) or (
        above < high and await any_in({above_start: above, "$lt": high}, descending=False)
    )
    if newest_first:
        documents.reverse()
        has_below, has_above = has_above, has_below
    return Page([item(document) for document in documents], has_previous=has_below, has_next=has_above)


async def find_items(
    collection: Documents,
    bounds: dict[str, str],
    limit: int,
    *,
    descending: bool,
    is_item: Callable[[Document], bool],
) -> list[Document]:
    """Return up to `limit` of the first, or last, documents in the bounds that are items, in the order they are read.

    The store is asked for ids alone: how long the span is that it looks at is then no matter, which it is where the
    store has to try a condition on each of its documents.
    """
    found: list[Document] = []
    size = limit + limit // 3 + 3  # usually one read has enough
    end, replaced = ("$lt", "$lte") if descending else ("$gt", "$gte")
    while True:
        documents = await collection.find({"_id": bounds}, limit=size, descending=descending)
        found += filter(is_item, documents)
        if len(found) >= limit or len(documents) < size:
            return found[:limit]
        bounds = {name: bound for name, bound in bounds.items() if name != replaced} | {end: documents[-1]["_id"]}
        size = min(2 * size, LARGEST_RUN)
