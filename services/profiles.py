"""What everybody may see of people, as Redis remembers it; what counts for rights is asked of `services/users.py`."""

from collections.abc import Iterable
from typing import Final

from pymongo.errors import PyMongoError

from services.cache import Cache
from services.gathering import Gathering
from services.mongo import Document, parsed
from services.users import ProfileChanges, User, Users

_KIND: Final = "user"
_SECRETS: Final[Document] = {"passwordHash": "", "identity": None}


class Profiles:
    """Users without their secrets."""

    def __init__(self, users: Users, cache: Cache) -> None:
        self._users = users
        self._cache = cache
        self._reads = Gathering(self._read, cache.spawn)

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, User]:
        """Return those of these users that exist, by id; as of the newest change by `update`.

        While MongoDB is away, what was last known of them will do: who types or comes is worth a name of a moment ago.

        Raises:
            PyMongoError: MongoDB had to be asked, and did not answer.
        """
        wanted = list(user_ids)
        try:
            found = await self._cache.get_many(_KIND, wanted, self._reads.get)
        except PyMongoError:
            found = await self._cache.left(_KIND, wanted)
            if len(found) < len(set(wanted)):
                raise
        return {user_id: user for user_id, document in found.items() if (user := parsed(User, document))}

    async def update(self, user_id: str, changes: ProfileChanges) -> User:
        """Change what a person shows of themselves; raises as `Users.update_profile`.

        Raises:
            CommitUnknown: it is not sure that the next read shows it.
        """
        user = await self._users.update_profile(user_id, changes)
        await self.forget(user_id)
        return user

    async def forget(self, user_id: str) -> None:
        """See to it that nobody is shown any more what a person was before a change.

        Raises:
            CommitUnknown: that is not sure.
        """
        await self._cache.forget(self._cache.key(_KIND, user_id))

    async def _read(self, user_ids: list[str]) -> dict[str, Document]:
        found = await self._users.get_many(user_ids)
        return {user_id: {**user.model_dump_doc(), **_SECRETS} for user_id, user in found.items()}
