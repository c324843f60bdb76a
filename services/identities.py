"""Accounts of people whom an external issuer vouches for: found, or made, by who they are there.

An identity is claimed by inserting `identities/<digest of issuer and subject>` with the user's id, then the user is
made under that id. Where the second did not come, the next sign-in brings it.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from services import handles, ids
from services.audit import Audit, AuditEventKind
from services.errors import Conflict, Forbidden, InvalidCredentials, Overloaded
from services.mongo import Collection, Database
from services.oidc import Issuer, Person
from services.sessions import Sessions, SignedIn
from services.users import Role, User, Users

_TRIES = 5  # two who make the same account at once, and a writer that died, take two each


class Identities:
    """Signs in with tokens of one issuer."""

    def __init__(self, database: Database, *, users: Users, sessions: Sessions, issuer: Issuer | None) -> None:
        """Prepare; without an issuer nobody signs in."""
        self._identities: Collection = database["identities"]
        self._users = users
        self._sessions = sessions
        self._issuer = issuer
        self._audit = Audit(database)

    async def login(self, *, id_token: str, device: str | None, now: datetime) -> SignedIn:
        """Sign in on a device, the first time with a new account.

        Raises:
            Forbidden: no issuer is set up, or the account is suspended.
            InvalidCredentials: the token is not valid.
            Unavailable: the issuer does not answer.
        """
        if self._issuer is None:
            raise Forbidden("Signing in with a token is not set up here.")
        try:
            person = await self._issuer.verify(id_token, now)
        except InvalidCredentials:
            await self._audit.record(AuditEventKind.SIGN_IN_FAILED, detail="external issuer", at=now)
            raise
        return await self._sessions.begin(await self._account(person, now), device, now)

    async def _account(self, person: Person, now: datetime) -> User:
        identity = ids.derived_id("idn", person.issuer, person.subject)
        for _ in range(_TRIES):
            stored = await self._identities.find_one({"_id": identity})
            if stored is None:
                with suppress(DuplicateKeyError):  # the same person, at the same moment
                    await self._identities.insert_one({"_id": identity, "user": ids.user(), "at": now})
                continue
            user_id = stored["user"]
            user = await self._users.get(user_id) or await self._made(user_id, identity, person, now)
            if user is not None:
                return user
            # That id is barred: whoever claimed a handle for it was away for too long.
            await self._identities.update_one({"_id": identity, "user": user_id}, {"$set": {"user": ids.user()}})
        raise Overloaded("Too much at once. Try again.", retry_after_ms=1_000)

    async def _made(self, user_id: str, identity: str, person: Person, now: datetime) -> User | None:
        """Return the account after making it under this id; None where nobody can."""
        for handle in _handles(person, user_id):
            try:
                return await self._users.create(
                    handle=handle,
                    display_name=_display_name(person),
                    password_hash="",  # no password fits it
                    roles=[Role.USER],
                    now=now,
                    user_id=user_id,
                    identity=identity,
                )
            except Conflict:
                user = await self._users.get(user_id)
                if user is not None:
                    return user
        return None


def _handles(person: Person, user_id: str) -> Iterator[str]:
    """Give the handles to try, always the same for one account: two who make it at once must not take two."""
    chance = user_id[-16:]
    form = handles.normalised(person.preferred_username or "")
    if form is not None and form not in handles.RESERVED:
        yield form
        yield f"{form[:23]}_{chance[:8]}"
    yield f"user_{chance}"


def _display_name(person: Person) -> str | None:
    try:
        return handles.display_name(person.name or "")
    except ValueError:
        return None
