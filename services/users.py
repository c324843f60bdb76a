"""People: their handles, their profiles and what they are allowed; never their sessions or their conversations."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import batched
from typing import override

from odmantic import Field, Model
from odmantic.config import ODMConfigDict
from pymongo.errors import DuplicateKeyError

from services import handles, ids
from services.errors import Conflict, InvalidInput
from services.mongo import Collection, Database, Document, parsed

# Whoever claims a handle and does not come within this time has died on the way.
_CLAIM_LIFE = timedelta(seconds=60)
_READ_SIZE = 100


class Role(StrEnum):
    USER = "USER"
    OPERATOR = "OPERATOR"
    ADMIN = "ADMIN"


class User(Model):
    """A person's account."""

    id: str = Field(primary_field=True)
    handle: str
    display_name: str = Field(key_name="displayName")
    avatar_url: str | None = Field(default=None, key_name="avatarUrl")
    password_hash: str = Field(key_name="passwordHash")
    roles: list[Role]
    created_at: datetime = Field(key_name="createdAt")
    suspended_at: datetime | None = Field(default=None, key_name="suspendedAt")

    model_config = ODMConfigDict(collection="users")

    @override
    def __repr_args__(self) -> list[tuple[str | None, object]]:
        return [("id", self.id), ("handle", self.handle)]  # a log line must not show the password's hash


class Users:
    """Accounts, each behind a handle that nobody else ever gets.

    A handle is taken by inserting `handles/<handle>` with the user's id, then `users/<id>`. Where the second insert did
    not come, whoever wants the handle bars that id in `users` first: a writer that was only slow is then refused there,
    so two accounts never share a handle.
    """

    def __init__(self, database: Database) -> None:
        self._users: Collection = database["users"]
        self._handles: Collection = database["handles"]

    async def create(
        self, *, handle: str, display_name: str | None, password_hash: str, roles: Iterable[Role], now: datetime
    ) -> User:
        """Create an account; without a display name it shows its handle.

        Raises:
            InvalidInput: the handle or the display name is not allowed.
            Conflict: the handle is taken.
        """
        form = valid_handle(handle)
        user = User(
            id=ids.user(),
            handle=form,
            display_name=form if display_name is None else handles.display_name(display_name),
            password_hash=password_hash,
            roles=list(roles),
            created_at=now,
        )
        taken = Conflict("This handle is taken.", ("input", "handle"))
        if not await self._claim(user):
            raise taken
        try:
            await self._users.insert_one(user.model_dump_doc())
        except DuplicateKeyError:
            raise taken from None  # barred: this took so long that somebody else has the handle now
        return user

    async def get(self, user_id: str) -> User | None:
        """Return the user with this id, or None."""
        return _user(await self._users.find_one({"_id": user_id}))

    async def by_handle(self, handle: str) -> User | None:
        """Return the user whom this handle names, however it is typed, or None."""
        form = handles.normalised(handle)
        claim = form and await self._handles.find_one({"_id": form})
        return await self.get(claim["user"]) if claim else None

    async def ids_of(self, forms: Iterable[str]) -> dict[str, str]:
        """Return whom these handles name, by handle; they are in their stored form."""
        claims = await self._handles.find_many(list(forms))
        return {form: claim["user"] for form, claim in claims.items()}

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, User]:
        """Return those of these users that exist, by id."""
        found: dict[str, User] = {}
        for batch in batched(dict.fromkeys(user_ids), _READ_SIZE, strict=False):
            for user_id, document in (await self._users.find_many(batch)).items():
                if user := _user(document):
                    found[user_id] = user
        return found

    async def change_password_hash(self, user_id: str, old: str, new: str) -> bool:
        """Replace the password's hash if it still is `old`; return whether it was."""
        return await self._users.update_one({"_id": user_id, "passwordHash": old}, {"$set": {"passwordHash": new}})

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace the password's hash, whatever it is."""
        await self._users.update_one({"_id": user_id}, {"$set": {"passwordHash": password_hash}})

    async def _claim(self, user: User) -> bool:
        claim = {"_id": user.handle, "user": user.id, "at": user.created_at}
        try:
            await self._handles.insert_one(claim)
        except DuplicateKeyError:
            old = await self._handles.find_one({"_id": user.handle})
            if old is None or user.created_at - old["at"] < _CLAIM_LIFE or not await self._bar(old["user"]):
                return False
            return await self._handles.replace_one(old, claim)
        return True

    async def _bar(self, user_id: str) -> bool:
        """Make sure that no user will ever have this id; return False where one has it already."""
        document = await self._users.find_one_and_update(
            {"_id": user_id}, {"$setOnInsert": {"barred": True}}, upsert=True
        )
        assert document is not None  # an upsert leaves one
        return "barred" in document


def valid_handle(handle: str) -> str:
    """Return the stored form of a handle.

    Raises:
        InvalidInput: nobody can have it.
    """
    form = handles.normalised(handle)
    if form is None:
        raise InvalidInput("A handle has 2 to 32 of the characters a-z, 0-9, _ and .", ("input", "handle"))
    return form


def _user(document: Document | None) -> User | None:
    return None if document is None or "barred" in document else parsed(User, document)
