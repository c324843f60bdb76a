"""What is made of a loaded value, for many at a time: a task for each would cost more than what it does."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast


class Later[T, R]:
    """What a function will make of a value that is being loaded; awaiting it gives that."""

    __slots__ = ("_function", "_loading")

    def __init__(self, loading: Awaitable[T], function: Callable[[T], R]) -> None:
        self._loading = cast("asyncio.Future[T]", loading)  # as loaders say what they give
        self._function = function

    def __await__(self) -> Generator[Any, None, R]:
        return self._function((yield from self._loading.__await__()))

    def done(self) -> bool:
        """Whether the value is there."""
        return self._loading.done()

    def result(self) -> R:
        """Return what the function makes of it; it must be there."""
        return self._function(self._loading.result())
