"""Messages by conversation and sequence."""

from collections.abc import Awaitable, Callable

from services.messages import Message, Messages, Place


def messages_by_place(messages: Messages) -> Callable[[list[Place]], Awaitable[list[Message | None]]]:
    """Return the function that reads many messages at once, in the order of their places."""

    async def load(places: list[Place]) -> list[Message | None]:
        found = await messages.get_many(places)
        return [found.get(place) for place in places]

    return load
