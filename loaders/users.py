"""Users by id."""

from collections.abc import Awaitable, Callable

from services.profiles import Profiles
from services.users import User


def users_by_id(profiles: Profiles) -> Callable[[list[str]], Awaitable[list[User | None]]]:
    """Return the function that reads many users at once, in the order of their ids."""

    async def load(user_ids: list[str]) -> list[User | None]:
        found = await profiles.get_many(user_ids)
        return [found.get(user_id) for user_id in user_ids]

    return load
