"""Until when users have muted conversations, by (user, conversation)."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from services.clock import now
from services.mutes import Muter, Mutes


def mutes_by_muter(mutes: Mutes) -> Callable[[list[Muter]], Awaitable[list[datetime | None]]]:
    """Return the function that reads many mutes at once, in the order of their keys; None where there is none."""

    async def load(muters: list[Muter]) -> list[datetime | None]:
        found = await mutes.get_many(muters, now())
        return [found.get(muter) for muter in muters]

    return load
