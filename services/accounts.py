"""What operators do to accounts: roles and suspension."""

from datetime import datetime

from services.mongo import Database
from services.revocations import RevocationLog
from services.sessions import end_sessions
from services.users import Role, Users


class Accounts:
    """Accounts as operators see them."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["sessions"]
        self._revocations = RevocationLog(database)
        self._users = Users(database)

    async def promote(self, handle: str, role: Role) -> bool:
        """Give an account a role, in place of any other but USER; return whether there is such an account."""
        user = await self._users.by_handle(handle)
        if user is None:
            return False
        await self._users.set_roles(user.id, [Role.USER] if role is Role.USER else [Role.USER, role])
        return True

    async def suspend(self, handle: str, now: datetime) -> bool:
        """Suspend an account and end its sessions; return whether there is such an account."""
        user = await self._users.by_handle(handle)
        if user is None:
            return False
        await self._users.set_suspended(user.id, user.suspended_at or now)
        # After it: a login that began before looks once more. The API's processes read the log twice a second.
        await end_sessions(self._sessions, self._revocations.add, user.id, now)
        return True

    async def restore(self, handle: str) -> bool:
        """End a suspension; return whether there is such an account."""
        user = await self._users.by_handle(handle)
        if user is None:
            return False
        await self._users.set_suspended(user.id, None)
        return True
