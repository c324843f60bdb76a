"""Who does not want to hear from whom. A block is one document, found by its `_id`; it is no part of any log.

It is read from MongoDB whenever it counts, so it holds on every instance at once.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from services import ids
from services.errors import InvalidInput, NotFound
from services.mongo import Collection, Database, Document
from services.paging import Page, Window, cursor_of, key_of, read_page
from services.users import User, Users

_USER = ("input", "userId")


class Blocks:
    """Blocks of all users, `<blocker>:<blocked>`: those of one blocker are one range of ids."""

    def __init__(self, database: Database, users: Users) -> None:
        self._blocks: Collection = database["blocks"]
        self._users = users

    async def block(self, blocker_id: str, user_id: str, now: datetime) -> User:
        """Block somebody, and return them; once more changes nothing.

        Raises:
            NotFound: there is no such user.
            InvalidInput: it is the blocker.
        """
        user = await self._user(user_id)
        if user_id == blocker_id:
            raise InvalidInput("You cannot block yourself.", _USER)
        with suppress(DuplicateKeyError):
            await self._blocks.insert_one({"_id": _block_id(blocker_id, user_id), "blocked": user_id, "at": now})
        return user

    async def unblock(self, blocker_id: str, user_id: str) -> User:
        """Take a block back, and return whom it was about; where there is none nothing changes.

        Raises:
            NotFound: there is no such user.
        """
        user = await self._user(user_id)
        await self._blocks.delete_one({"_id": _block_id(blocker_id, user_id)})
        return user

    async def blockers(self, user_id: str, among: Iterable[str]) -> set[str]:
        """Return those who have blocked a user."""
        by_block = {_block_id(blocker_id, user_id): blocker_id for blocker_id in among}
        return {by_block[found] for found in await self._blocks.find_many(list(by_block))}

    async def of_user(self, blocker_id: str, window: Window) -> Page[str]:
        """Return the ids of those whom a user has blocked."""

        def item(document: Document) -> tuple[str, str]:
            return cursor_of(document["blocked"]), document["blocked"]

        return await read_page(
            self._blocks,
            (_block_id(blocker_id, ""), _block_id(blocker_id, "~")),
            window,
            key=lambda cursor, argument: _block_id(blocker_id, key_of(cursor, argument)),
            item=item,
        )

    async def _user(self, user_id: str) -> User:
        user = await self._users.get(user_id) if ids.kind(user_id) == "usr" else None
        if user is None:
            raise NotFound("There is no such user.", _USER)
        return user


def _block_id(blocker_id: str, blocked_id: str) -> str:
    return f"{blocker_id}:{blocked_id}"
