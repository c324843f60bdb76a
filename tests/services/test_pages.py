"""Pages of a long log on the real store: what they cost, whatever is said in between."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services import ids
from services.blocks import Blocks
from services.cache import Cache
from services.log import Logs
from services.log_cache import LogCache
from services.messages import Messages
from services.mongo import Collection, Database, Document
from services.paging import Window
from services.users import Users
from tests import history
from tests.services.test_log import Nobody
from tests.services.test_messages import Anybody

MESSAGES = 6_000  # in one range of ids: more than the embedded store looks through for a condition
PAGE = 50
MOST_READ = 2 * PAGE  # documents for a page, where less than a third of the entries are changes
PEOPLE = [ids.user() for _ in range(4)]


@dataclass(slots=True)
class Reads:
    """What the store was asked for."""

    queries: list[Document] = field(default_factory=list)
    documents: int = 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    """Count what is read from now on."""
    reads, find = Reads(), Collection.find

    async def counting_find(collection: Collection, query: Document, **options: Any) -> list[Document]:
        found = await find(collection, query, **options)
        reads.queries.append(query)
        reads.documents += len(found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "find", counting_find)
        yield reads


async def test_a_page_asks_for_ids_alone_and_reads_little_more_than_it_shows(
    mongo_database: Database, caches: list[Cache], reads: Reads
) -> None:
    owner_id = PEOPLE[0]
    await mongo_database["meta"].insert_one({"_id": "epoch", "value": 1})
    long = await history.make(mongo_database, PEOPLE[:3], late_id=PEOPLE[3], messages=MESSAGES, crowd=0)
    middle = long.cursor(long.messages[MESSAGES // 2].sequence)
    windows = [
        Window(PAGE, from_end=True, after=None, before=None),
        Window(PAGE, from_end=False, after=None, before=None),
        Window(PAGE, from_end=True, after=None, before=middle),
        Window(PAGE, from_end=False, after=middle, before=None),
    ]
    async with Logs(mongo_database, Nobody(), LogCache(caches[0]), ()).running() as logs:
        users = Users(mongo_database)
        senders = Anybody(logs, users, Blocks(mongo_database, users))
        messages = Messages(mongo_database, logs, users, senders, epoch=1)
        await messages.last(owner_id, long.conversation_id)  # what is read once for a log is read
        for window in windows:
            reads.queries.clear()
            reads.documents = 0

            page = await messages.page(owner_id, long.conversation_id, window)

            assert len(page.items) == PAGE
            assert reads.documents < MOST_READ
            assert [query for query in reads.queries if query.keys() != {"_id"}] == []
