"""People: their handles, their profiles and what they are allowed; never their sessions or their conversations."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import batched
from typing import TypedDict, override

from odmantic import Field, Model
from odmantic.config import ODMConfigDict
from pymongo.errors import DuplicateKeyError

from services import handles, ids
from services.errors import BadUserInput, Conflict, Unauthenticated
from services.inputs import NewUser, ProfileChange
from services.mongo import Collection, Database, Document, parsed
from services.paging import Page, Window, cursor_of, key_of, read_page

# Whoever claims a handle and does not come within this time has died on the way.
_CLAIM_LIFE = timedelta(seconds=60)
_READ_SIZE = 100
_SHORTEST_SEARCH = 2
_STANDING_SECONDS = 1.0  # how long it is remembered whether an account is suspended
_STANDINGS = 10_000  # accounts of which that is remembered; the one that was read longest ago is forgotten first


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
    share_presence: bool = Field(default=True, key_name="sharePresence")
    identity: str | None = None  # of whoever signs in with an external issuer's tokens; None for all others
    erased_at: datetime | None = Field(default=None, key_name="erasedAt")

    model_config = ODMConfigDict(collection="users")

    @override
    def __repr_args__(self) -> list[tuple[str | None, object]]:
        return [("id", self.id), ("handle", self.handle)]  # a log line must not show the password's hash


class ProfileChanges(TypedDict, total=False):
    """What is to change of a profile; what is left out stays."""

    display_name: str
    avatar_url: str | None
    share_presence: bool


class Users:
    """Accounts, each behind a handle that nobody else ever gets.

    A handle is taken by inserting `handles/<handle>` with the user's id, then `users/<id>`. Where the second insert did
    not come, whoever wants the handle bars that id in `users` first: a writer that was only slow is then refused there,
    so two accounts never share a handle.
    """

    def __init__(self, database: Database) -> None:
        self._users: Collection = database["users"]
        self._handles: Collection = database["handles"]
        self._standings: OrderedDict[str, tuple[float, bool]] = OrderedDict()  # when asked, and whether suspended

    async def create(
        self,
        *,
        handle: str,
        display_name: str | None,
        password_hash: str,
        roles: Iterable[Role],
        now: datetime,
        user_id: str | None = None,
        identity: str | None = None,
    ) -> User:
        """Create an account; without a display name it shows its handle, and without an id it gets a new one.

        Raises:
            InvalidInput: the handle or the display name is not allowed.
            Conflict: the handle is taken.
        """
        given = NewUser.of(handle=handle, display_name=display_name)
        form = given.handle
        user = User(
            id=ids.user() if user_id is None else user_id,
            handle=form,
            display_name=given.display_name or form,
            password_hash=password_hash,
            roles=list(roles),
            created_at=now,
            identity=identity,
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
        """Return the user whom this handle names, however it is typed, or None.

        A handle that nobody has, or nobody can have, takes as many reads as any other.
        """
        form = handles.normalised(handle)
        claim = await self._handles.find_one({"_id": form or ""})
        user = await self.get(claim["user"] if claim else "")
        # An account that is being erased has its new name before its old handle is let go.
        return user if user is not None and user.handle == form else None

    async def ids_of(self, forms: Iterable[str]) -> dict[str, str]:
        """Return whom these handles name, by handle; they are in their stored form."""
        claims = await self._handles.find_many(list(forms))
        return {form: claim["user"] for form, claim in claims.items() if claim["user"]}

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, User]:
        """Return those of these users that exist, by id."""
        found: dict[str, User] = {}
        for batch in batched(dict.fromkeys(user_ids), _READ_SIZE, strict=False):
            for user_id, document in (await self._users.find_many(batch)).items():
                if user := _user(document):
                    found[user_id] = user
        return found

    async def search(self, text: str, window: Window) -> Page[User]:
        """Return those whose handle begins with a text, by handle; suspended people are left out.

        So a page may be shorter than asked for while more follow, and those that follow may be left out as well.

        Raises:
            BadUserInput: the text is too short, or a cursor is none.
        """
        start = handles.folded(text)
        if len(start) < _SHORTEST_SEARCH:
            raise BadUserInput(f"`search` has at least {_SHORTEST_SEARCH} characters.")
        if handles.normalised(start) is None:
            return Page([], has_previous=False, has_next=False)
        # `~` sorts after every character of a handle: the range begins where all that sorts before `start` has ended.
        span = f"{start[:-1]}{chr(ord(start[-1]) - 1)}~", f"{start}~"
        while True:
            page = await read_page(self._handles, span, window, key=key_of, item=_claim_item)
            users = await self.get_many(user_id for _, user_id in page.items)
            shown = [(cursor, users[user_id]) for cursor, user_id in page.items if user_id in users]
            shown = [(cursor, user) for cursor, user in shown if user.suspended_at is None]
            more = page.has_previous if window.from_end else page.has_next
            if shown or not page.items or not more:
                return Page(shown, page.has_previous, page.has_next)
            # An empty page would leave the caller without a cursor to go on from.
            edge, _ = page.items[0 if window.from_end else -1]
            window = replace(window, before=edge) if window.from_end else replace(window, after=edge)

    async def update_profile(self, user_id: str, changes: ProfileChanges) -> User:
        """Change what a person shows of themselves.

        Raises:
            InvalidInput: a part of it is not allowed.
            Unauthenticated: there is no such account any more.
        """
        given = ProfileChange.of(**changes)
        fields: Document = given.model_dump(by_alias=True, exclude_unset=True)
        if fields:
            await self._users.update_one({"_id": user_id}, {"$set": fields})
        user = await self.get(user_id)
        if user is None:
            raise Unauthenticated("This account is no more.")
        return user

    async def set_roles(self, user_id: str, roles: Iterable[Role]) -> None:
        """Replace an account's roles; tokens show it when they are renewed."""
        await self._users.update_one({"_id": user_id}, {"$set": {"roles": [role.value for role in roles]}})

    async def set_suspended(self, user_id: str, at: datetime | None) -> None:
        """Suspend an account, or with None restore it; one that was erased stays as it is."""
        await self._users.update_one({"_id": user_id, "erasedAt": None}, {"$set": {"suspendedAt": at}})

    async def erase(self, user_id: str, now: datetime) -> None:
        """Leave of an account what its messages need: a sender who is nobody; once more changes nothing."""
        fields = {
            "handle": f"deleted-{user_id}",  # no handle that anybody can have has a hyphen
            "displayName": "Deleted user",
            "avatarUrl": None,
            "passwordHash": "",
            "roles": [Role.USER.value],
            "suspendedAt": now,
            "sharePresence": False,
            "identity": None,
            "erasedAt": now,
        }
        await self._users.update_one({"_id": user_id, "erasedAt": None}, {"$set": fields})

    async def claimed(self, handle: str) -> str | None:
        """Return whose a handle is, also of an account that is being erased; "" if it was let go, None if nobody's."""
        form = handles.normalised(handle)
        claim = form and await self._handles.find_one({"_id": form})
        return str(claim["user"]) if claim else None

    async def let_go(self, handle: str, user_id: str) -> None:
        """Let nobody have a handle: it is never given again, and names no account."""
        await self._handles.update_one({"_id": handle, "user": user_id}, {"$set": {"user": ""}})

    async def is_suspended(self, user_id: str) -> bool:
        """Return whether an account is suspended, as of at most a second ago."""
        now = asyncio.get_running_loop().time()
        known = self._standings.get(user_id)
        if known is not None and now - known[0] < _STANDING_SECONDS:
            return known[1]
        user = await self.get(user_id)
        suspended = user is None or user.suspended_at is not None
        self._standings[user_id] = now, suspended
        self._standings.move_to_end(user_id)
        if len(self._standings) > _STANDINGS:
            self._standings.popitem(last=False)
        return suspended

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
            if old is not None and old["user"] == user.id:
                return True  # somebody who makes the same account came first
            if (
                old is None
                or not old["user"]
                or user.created_at - old["at"] < _CLAIM_LIFE
                or not await self._bar(old["user"])
            ):
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


def _claim_item(document: Document) -> tuple[str, str]:
    return cursor_of(document["_id"]), document["user"]


def _user(document: Document | None) -> User | None:
    return None if document is None or "barred" in document else parsed(User, document)
