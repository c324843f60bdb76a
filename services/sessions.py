"""Signed-in devices: how a session begins, renews its tokens and ends.

A refresh token is `<session id>.<family><secret>`. The family is the same in all tokens of a session: whoever shows it
with a secret that is no longer valid held a token of this session once, and somebody else has gone on with it: then the
session ends. Only digests are stored.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import override

import structlog
from odmantic import Field, Model
from odmantic.config import ODMConfigDict

from services import handles, ids, passwords
from services.attempts import Attempts
from services.audit import Audit, AuditEventKind
from services.config import Settings
from services.errors import Forbidden, InvalidCredentials, InvalidInput, NotFound, Overloaded, Unauthenticated
from services.inputs import PasswordChange, Registration
from services.meter import Meter
from services.mongo import Collection, Database, parsed
from services.passwords import Passwords
from services.resets import Resets
from services.revocations import Ends, Revocations
from services.tokens import Claims, Tokens
from services.users import Role, User, Users

# The reply with the new token may be lost, and two tabs may renew at once: both look like one token shown twice.
_GRACE = timedelta(seconds=10)
_LONGEST_TOKEN = timedelta(days=1)  # that anybody will have set
_FAMILY_LENGTH = 22  # characters of `token_urlsafe(16)`
# What a renewal changes.
_RENEWED = {"family", "current", "previous", "replaced_at", "rotation", "last_used_at", "expires_at", "access_until"}

_logger = structlog.get_logger()


class Session(Model):
    """One signed-in device."""

    id: str = Field(primary_field=True)
    user_id: str = Field(key_name="user")
    device: str | None
    created_at: datetime = Field(key_name="createdAt")
    last_used_at: datetime = Field(key_name="lastUsedAt")
    expires_at: datetime = Field(key_name="expiresAt")
    revoked_at: datetime | None = Field(default=None, key_name="revokedAt")
    family: str  # digest
    current: list[str]  # digests of the newest token, or of two where the one before was used twice
    previous: str | None = None  # digest of the token that these replaced; None before the first renewal
    replaced_at: datetime | None = Field(default=None, key_name="replacedAt")  # None as `previous` is
    rotation: int = 0  # how many tokens were given after the first
    # When the last of its access tokens expires; None in sessions that were last renewed before this was kept.
    access_until: datetime | None = Field(default=None, key_name="accessUntil")

    model_config = ODMConfigDict(collection="sessions")

    @override
    def __repr_args__(self) -> list[tuple[str | None, object]]:
        return [("id", self.id)]

    @property
    def tokens_until(self) -> datetime:
        """When the last of its access tokens expires, or later."""
        return self.access_until or self.last_used_at + _LONGEST_TOKEN

    def is_live(self, now: datetime) -> bool:
        """Return whether it can still be renewed."""
        return self.revoked_at is None and now < self.expires_at

    def knows(self, digest: str, now: datetime) -> bool:
        """Return whether an honest device may show this token: the newest, or for a while the one before."""
        in_grace = self.replaced_at is not None and now - self.replaced_at <= _GRACE
        return digest in self.current or (digest == self.previous and in_grace)

    def accepts(self, digest: str) -> bool:
        """Return whether a known token gets a successor: one that was replaced already gets one more."""
        return digest in self.current or len(self.current) == 1

    def renewed(
        self, shown: str, successor: str, *, now: datetime, expires_at: datetime, access_until: datetime
    ) -> "Session":
        """Return the session after a token that it accepts was shown and got a successor."""
        change: dict[str, object] = {
            "last_used_at": now,
            "expires_at": expires_at,
            "rotation": self.rotation + 1,
            "access_until": max(self.tokens_until, access_until),  # another instance's clock may be ahead
        }
        if shown in self.current:
            change |= {"current": [successor], "previous": shown, "replaced_at": now}
        else:
            change |= {"current": [*self.current, successor]}
        return self.model_copy(update=change)

    def restarted(
        self, family: str, token: str, *, now: datetime, expires_at: datetime, access_until: datetime
    ) -> "Session":
        """Return the session with a new family, of which every older token is a stranger: refused, and no theft."""
        return self.model_copy(
            update={
                "family": family,
                "current": [token],
                "previous": None,
                "replaced_at": None,
                "rotation": self.rotation + 1,
                "last_used_at": now,
                "expires_at": expires_at,
                "access_until": max(self.tokens_until, access_until),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session and its new tokens; the refresh token exists nowhere else."""

    user: User
    session: Session
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    access_token_expires_at: datetime

    @property
    def claims(self) -> Claims:
        """What the access token says."""
        return Claims(
            user_id=self.user.id,
            session_id=self.session.id,
            roles=frozenset(self.user.roles),
            expires_at=self.access_token_expires_at,
        )


class Sessions:
    """Sessions of all users; the sessions of one user are one range of ids."""

    def __init__(
        self,
        database: Database,
        *,
        users: Users,
        passwords: Passwords,
        tokens: Tokens,
        revocations: Revocations,
        settings: Settings,
        meter: Meter | None = None,
    ) -> None:
        self._sessions: Collection = database["sessions"]
        self._resets = Resets(database)
        self._attempts = Attempts(database, enabled=settings.rate_limits.are_on)
        self._audit = Audit(database)
        self._users = users
        self._passwords = passwords
        self._tokens = tokens
        self._revocations = revocations
        self._meter = meter or Meter()
        self._life = timedelta(days=settings.refresh_token_days)
        self._operators = frozenset(settings.operators if settings.embedded else ())

    async def register(
        self, *, handle: str, password: str, display_name: str | None, device: str | None, now: datetime
    ) -> SignedIn:
        """Create an account and sign it in.

        Raises:
            InvalidInput: a part of the input is not allowed.
            Conflict: the handle is taken.
        """
        given = Registration.of(handle=handle, password=password, display_name=display_name)
        form = given.handle
        is_operator = form in self._operators
        if form in handles.RESERVED and not is_operator:
            raise InvalidInput("This handle is reserved.", ("input", "handle"))
        passwords.require_unlike(given.password, handle=form)
        user = await self._users.create(
            handle=form,
            display_name=given.display_name,
            password_hash=await self._passwords.hash(password),
            roles=[Role.USER, Role.OPERATOR] if is_operator else [Role.USER],
            now=now,
        )
        begun = await self._begin(user, device, now)
        await self._note(AuditEventKind.REGISTERED, begun)
        return begun

    async def login(self, *, handle: str, password: str, device: str | None, now: datetime) -> SignedIn:
        """Sign in on a device.

        Raises:
            InvalidCredentials: the handle or the password is wrong; which of them, nothing tells, not even the time.
            RateLimited: the password was wrong too often.
            Forbidden: the account is suspended.
        """
        refused = InvalidCredentials("The handle or the password is wrong.")
        user = await self._users.by_handle(handle)
        if not await self._is_password(user, handle, password, now) or user is None:
            await self._audit.record(AuditEventKind.SIGN_IN_FAILED, subject_id=user.id if user else None, at=now)
            raise refused
        if user.suspended_at is not None:
            await self._audit.record(AuditEventKind.SIGN_IN_FAILED, subject_id=user.id, detail="suspended", at=now)
            raise Forbidden("This account is suspended.")
        if passwords.is_outdated(user.password_hash):
            await self._rehash(user, password)
        begun = await self._begin(user, device, now)
        # Whoever changes the password or suspends the account meanwhile may have ended the user's sessions before this
        # one was there.
        latest = await self._users.get(user.id)
        if latest is not None and latest.suspended_at is not None:
            await self.logout(begun.session.id, now)
            raise Forbidden("This account is suspended.")
        if latest is None or (
            latest.password_hash != user.password_hash
            and not await self._passwords.verify(latest.password_hash, password)
        ):
            await self.logout(begun.session.id, now)
            raise refused
        await self._note(AuditEventKind.SIGNED_IN, begun)
        return begun

    async def begin(self, user: User, device: str | None, now: datetime) -> SignedIn:
        """Sign somebody in who has shown otherwise who they are.

        Raises:
            Forbidden: the account is suspended.
        """
        begun = await self._begin(user, device, now)
        latest = await self._users.get(user.id)
        if latest is None or latest.suspended_at is not None:
            await self.logout(begun.session.id, now)
            await self._audit.record(AuditEventKind.SIGN_IN_FAILED, subject_id=user.id, detail="suspended", at=now)
            raise Forbidden("This account is suspended.")
        await self._note(AuditEventKind.SIGNED_IN, begun, "external issuer")
        return begun

    async def refresh(self, refresh_token: str, now: datetime) -> SignedIn:
        """Exchange a refresh token for new tokens; showing one that is no longer valid ends its session.

        Raises:
            InvalidCredentials: the token is not valid, or its session is over.
        """
        refused = InvalidCredentials("The refresh token is not valid. Sign in again.", ("input", "refreshToken"))
        session_id, _, rest = refresh_token.partition(".")
        family, digest = rest[:_FAMILY_LENGTH], _digest(refresh_token)
        # Races are lost to other uses of the token or to the session's end, and there are not many of either.
        while True:
            session = await self.get(session_id)
            if session is None or session.family != _digest(family):
                raise refused
            if session.revoked_at is not None:
                await self._revoke_tokens(session)  # whoever ended it may have died before that
            if not session.is_live(now):
                raise refused
            if not session.knows(digest, now):
                _logger.warning("session.reuse", session=session_id, user=session.user_id)
                self._meter.count("token_reused")
                await self.logout(session_id, now)
                await self._audit.record(
                    AuditEventKind.REFRESH_TOKEN_REUSED, subject_id=session.user_id, session_id=session_id, at=now
                )
                raise refused
            user = await self._users.get(session.user_id)
            if user is None or user.suspended_at is not None or not session.accepts(digest):
                raise refused
            token = _refresh_token(session_id, family)
            renewed = session.renewed(
                digest,
                _digest(token),
                now=now,
                expires_at=now + self._life,
                access_until=self._tokens.expires_at(now),
            )
            if await self._store(session, renewed):
                return self._signed_in(user, renewed, token, now)

    async def logout(self, session_id: str, now: datetime) -> None:
        """End a session; one that is over already stays as it is."""
        document = await self._sessions.find_one_and_update(
            {"_id": session_id, "revokedAt": None}, {"$set": {"revokedAt": now}}
        )
        session = await self.get(session_id) if document is None else parsed(Session, document)
        if session is not None:
            await self._revoke_tokens(session)

    async def _revoke_tokens(self, session: Session) -> None:
        await self._revocations.end({session.id: session.tokens_until})

    async def revoke(self, caller: Claims, session_id: str, now: datetime) -> None:
        """End one of the caller's own sessions; one that is over already stays as it is.

        Raises:
            NotFound: the caller has no such session.
        """
        session = await self.get(session_id)
        if session is None or session.user_id != caller.user_id:
            raise NotFound("There is no such session.", ("input", "sessionId"))
        await self.logout(session_id, now)
        await self._audit.record(
            AuditEventKind.SESSION_REVOKED,
            actor_id=caller.user_id,
            subject_id=session.user_id,
            session_id=session_id,
            at=now,
        )

    async def change_password(self, caller: Claims, *, current: str, new: str, now: datetime) -> SignedIn:
        """Set another password, end the user's other sessions and give the caller's new tokens.

        Raises:
            InvalidCredentials: the current password is wrong.
            RateLimited: it was wrong too often.
            InvalidInput: the new one is not allowed.
            Forbidden: the account is suspended.
            Unauthenticated: the caller's session is over.
        """
        await self._live(caller.session_id, now)
        while True:  # lost to a login that renews the hash, or to another change, after which `current` is wrong
            user = await self._users.get(caller.user_id)
            handle = caller.user_id if user is None else user.handle
            if not await self._is_password(user, handle, current, now) or user is None:
                raise InvalidCredentials("The current password is wrong.", ("input", "currentPassword"))
            password_hash = await self._new_hash(user, new)
            if await self._users.change_password_hash(user.id, old=user.password_hash, new=password_hash):
                break
        await end_sessions(self._sessions, self._revocations.end, user.id, now, but=caller.session_id)
        restarted = await self._restart(user, caller.session_id, now)
        await self._note(AuditEventKind.PASSWORD_CHANGED, restarted)
        return restarted

    async def reset_password(self, *, token: str, new: str, device: str | None, now: datetime) -> SignedIn:
        """Set the password with a reset link's token, end all sessions of the user and sign in.

        Raises:
            InvalidCredentials: the token is not valid, or not any more.
            InvalidInput: the password is not allowed; the token stays good.
            Forbidden: the account is suspended.
        """
        refused = InvalidCredentials("The reset link is not valid. Ask for another.", ("input", "token"))
        user_id = await self._resets.user_id(token, now)
        user = user_id and await self._users.get(user_id)
        if not user:
            raise refused
        password_hash = await self._new_hash(user, new)
        if not await self._resets.use(token, now):
            raise refused
        await self._users.set_password_hash(user.id, password_hash)
        await end_sessions(self._sessions, self._revocations.end, user.id, now)
        begun = await self._begin(user, device, now)
        await self._note(AuditEventKind.PASSWORD_RESET, begun)
        return begun

    async def authenticate(self, access_token: str, now: datetime) -> Claims:
        """Return who calls.

        Raises:
            TokenExpired: the token was valid once.
            Unauthenticated: it is not valid, or its session was ended.
        """
        claims = self._tokens.verify(access_token, now)
        if self._revocations.has_ended(claims.session_id):
            raise Unauthenticated("The session is over. Sign in again.")
        return claims

    async def get(self, session_id: str) -> Session | None:
        """Return the session with this id, or None."""
        if ids.kind(session_id) != "ses":
            return None
        return parsed(Session, await self._sessions.find_one({"_id": session_id}))

    async def of_user(self, user_id: str, now: datetime) -> list[Session]:
        """Return the user's live sessions, the oldest first."""
        documents = await self._sessions.find({"_id": sessions_of(user_id)})
        sessions = [Session.model_validate_doc(document) for document in documents]
        return [session for session in sessions if session.is_live(now)]

    async def _is_password(self, user: User | None, handle: str, password: str, now: datetime) -> bool:
        """Return whether this is the user's password; the same work where there is no such user."""
        attempt = await self._attempts.begin(handle, now)
        try:
            matches = await self._passwords.verify(user.password_hash if user else None, password)
        except Overloaded:
            await self._attempts.take_back(attempt)
            raise
        if matches:
            await self._attempts.succeeded(attempt)
        return matches

    async def _note(self, kind: AuditEventKind, signed_in: SignedIn, detail: str | None = None) -> None:
        """Write down what somebody did to their own account."""
        user_id, session = signed_in.user.id, signed_in.session
        await self._audit.record(
            kind,
            actor_id=user_id,
            subject_id=user_id,
            session_id=session.id,
            detail=detail,
            at=session.last_used_at,
        )

    async def _rehash(self, user: User, password: str) -> None:
        with suppress(Overloaded):  # another login will find the time
            await self._users.change_password_hash(
                user.id, old=user.password_hash, new=await self._passwords.hash(password)
            )

    async def _new_hash(self, user: User, password: str) -> str:
        """Return the hash of the password that a user chose instead of another."""
        if user.suspended_at is not None:
            raise Forbidden("This account is suspended.")
        new = PasswordChange.of(new_password=password).new_password
        passwords.require_unlike(new, handle=user.handle, path=("input", "newPassword"))
        return await self._passwords.hash(password)

    async def _live(self, session_id: str, now: datetime) -> Session:
        session = await self.get(session_id)
        if session is None or not session.is_live(now):
            raise Unauthenticated("The session is over. Sign in again.")
        return session

    async def _restart(self, user: User, session_id: str, now: datetime) -> SignedIn:
        """Give a session new tokens without an old one being shown."""
        family = secrets.token_urlsafe(16)
        token = _refresh_token(session_id, family)
        while True:  # lost to renewals, which then need a token of the old family
            session = await self._live(session_id, now)
            renewed = session.restarted(
                _digest(family),
                _digest(token),
                now=now,
                expires_at=now + self._life,
                access_until=self._tokens.expires_at(now),
            )
            if await self._store(session, renewed):
                return self._signed_in(user, renewed, token, now)

    async def _begin(self, user: User, device: str | None, now: datetime) -> SignedIn:
        session_id, family = ids.session(user.id), secrets.token_urlsafe(16)
        token = _refresh_token(session_id, family)
        session = Session(
            id=session_id,
            user_id=user.id,
            device=handles.device(device),
            created_at=now,
            last_used_at=now,
            expires_at=now + self._life,
            family=_digest(family),
            current=[_digest(token)],
            access_until=self._tokens.expires_at(now),
        )
        await self._sessions.insert_one(session.model_dump_doc())
        return self._signed_in(user, session, token, now)

    async def _store(self, session: Session, renewed: Session) -> bool:
        """Store the renewal if nothing happened to the session meanwhile; return whether that was so."""
        return await self._sessions.update_one(
            {"_id": session.id, "rotation": session.rotation, "revokedAt": None},
            {"$set": renewed.model_dump_doc(include=_RENEWED)},
        )

    def _signed_in(self, user: User, session: Session, refresh_token: str, now: datetime) -> SignedIn:
        access_token, expires_at = self._tokens.issue(user_id=user.id, session_id=session.id, roles=user.roles, now=now)
        return SignedIn(
            user=user,
            session=session,
            access_token=access_token,
            refresh_token=refresh_token,
            access_token_expires_at=expires_at,
        )


async def end_sessions(
    sessions: Collection,
    revoke: Callable[[Ends], Awaitable[None]],
    user_id: str,
    now: datetime,
    *,
    but: str | None = None,
) -> None:
    """End the sessions of a user, but the named one, and `revoke` their tokens."""
    await sessions.update_many(
        {"_id": {**sessions_of(user_id), "$ne": but}, "revokedAt": None}, {"$set": {"revokedAt": now}}
    )
    # Read afterwards: none of them can be renewed any more, so what they say of their tokens is the last word. Those
    # that were over before are among them, because whoever ended them may have died before this.
    documents = await sessions.find({"_id": sessions_of(user_id)})
    ended = (Session.model_validate_doc(document) for document in documents if document.get("revokedAt") is not None)
    await revoke({session.id: session.tokens_until for session in ended})


def sessions_of(user_id: str) -> dict[str, str]:
    """Return the condition that the ids of the user's sessions fulfil."""
    prefix = f"ses_{user_id.removeprefix('usr_')}"
    return {"$gt": f"{prefix}_", "$lt": f"{prefix}`"}


def _refresh_token(session_id: str, family: str) -> str:
    return f"{session_id}.{family}{secrets.token_urlsafe(32)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
