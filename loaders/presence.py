"""Presence by user."""

from collections.abc import Awaitable, Callable

from services.presence import Presence, PresenceService


def presence_by_user(presence: PresenceService) -> Callable[[list[str]], Awaitable[list[Presence]]]:
    """Return the function that reads the presence of many users at once, in the order of their ids."""

    async def load(user_ids: list[str]) -> list[Presence]:
        found = await presence.get_many(user_ids)
        return [found[user_id] for user_id in user_ids]

    return load
