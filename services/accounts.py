"""What operators do to accounts: roles and suspension."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from services import ids
from services.audit import Audit, AuditEventKind
from services.errors import Forbidden, InvalidInput, NotFound
from services.mongo import Database
from services.revocations import Ends, RevocationLog
from services.sessions import end_sessions
from services.users import Role, User, Users

_USER = ("input", "userId")


class Accounts:
    """Accounts as operators see them."""

    def __init__(self, database: Database, revoke: Callable[[Ends], Awaitable[None]] | None = None) -> None:
        """Prepare; without `revoke` the API's processes read twice a second which sessions have ended."""
        self._sessions = database["sessions"]
        self._revoke = revoke or RevocationLog(database).add
        self._users = Users(database)
        self._audit = Audit(database)

    # ------------------------------------------------------------ from the command line

    async def promote(self, handle: str, role: Role) -> bool:
        """Give an account a role, in place of any other but USER; return whether there is such an account."""
        user = await self._users.by_handle(handle)
        if user is None:
            return False
        await self._users.set_roles(user.id, [Role.USER] if role is Role.USER else [Role.USER, role])
        await self._audit.record(AuditEventKind.ROLES_CHANGED, subject_id=user.id, detail=role.value)
        return True

    async def suspend(self, handle: str, now: datetime) -> bool:
        """Suspend an account and end its sessions; return whether there is such an account."""
        user = await self._users.by_handle(handle)
        if user is None:
            return False
        await self._suspend(user, None, now)
        return True

    async def restore(self, handle: str) -> bool:
        """End a suspension; return whether there is such an account."""
        user = await self._users.by_handle(handle)
        if user is None:
            return False
        await self._restore(user, None)
        return True

    # ------------------------------------------------------------ by an administrator

    async def suspend_by(self, admin_id: str, user_id: str, now: datetime) -> User:
        """Suspend somebody and end their sessions; once more changes nothing.

        Raises:
            Forbidden: the caller is no administrator now, whatever the token says.
            NotFound: there is no such user.
            InvalidInput: it is the caller.
        """
        user = await self._subject(admin_id, user_id)
        if user.id == admin_id:
            raise InvalidInput("You cannot suspend yourself.", _USER)
        await self._suspend(user, admin_id, now)
        return user

    async def restore_by(self, admin_id: str, user_id: str) -> User:
        """End somebody's suspension; without one nothing changes. Raises as `suspend_by` does."""
        user = await self._subject(admin_id, user_id)
        await self._restore(user, admin_id)
        return user

    async def _subject(self, admin_id: str, user_id: str) -> User:
        admin = await self._users.get(admin_id)
        if admin is None or admin.suspended_at is not None or Role.ADMIN not in admin.roles:
            raise Forbidden("Only administrators may do this.")
        user = await self._users.get(user_id) if ids.kind(user_id) == "usr" else None
        if user is None or user.erased_at is not None:
            raise NotFound("There is no such user.", _USER)
        return user

    async def _suspend(self, user: User, actor_id: str | None, now: datetime) -> None:
        await self._users.set_suspended(user.id, user.suspended_at or now)
        # After it: a login that began before looks once more.
        await end_sessions(self._sessions, self._revoke, user.id, now)
        if user.suspended_at is None:
            await self._audit.record(AuditEventKind.ACCOUNT_SUSPENDED, actor_id=actor_id, subject_id=user.id)

    async def _restore(self, user: User, actor_id: str | None) -> None:
        await self._users.set_suspended(user.id, None)
        if user.suspended_at is not None:
            await self._audit.record(AuditEventKind.ACCOUNT_RESTORED, actor_id=actor_id, subject_id=user.id)
