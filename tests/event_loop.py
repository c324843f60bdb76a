"""The event loop that tests run in."""

import asyncio
from typing import Any, Final

from aiokafka.errors import KafkaConnectionError


class EventLoop(asyncio.SelectorEventLoop):
    """Tells of every failure that nobody asked for, but for what aiokafka leaves behind when it is stopped.

    Its connections fail all requests that are under way when they close, also those whose caller was cancelled in the
    same step and asks no more. anyio lets the test fail that runs when such an answer is collected.
    """

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Pass on what is no such answer."""
        if not isinstance(context.get("exception"), KafkaConnectionError):
            super().call_exception_handler(context)


BACKEND: Final = ("asyncio", {"loop_factory": EventLoop})
