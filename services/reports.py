"""What people tell the operators about messages: kept for them, shown to nobody else."""

from contextlib import suppress

from pymongo.errors import DuplicateKeyError

from services.clock import now
from services.content import valid_reason
from services.messages import Messages, no_such_message
from services.mongo import Collection, Database


class Reports:
    """Reports of all messages, `<message>:<reporter>`."""

    def __init__(self, database: Database, messages: Messages) -> None:
        self._reports: Collection = database["reports"]
        self._messages = messages

    async def add(self, reporter_id: str, message_id: str, reason: str) -> None:
        """Note that something is wrong with a message; a user's first report of it stands.

        Raises:
            InvalidInput: the reason is empty or too long.
            NotFound: there is no such message for the reporter.
        """
        reason = valid_reason(reason)
        message = await self._messages.visible(reporter_id, message_id)
        if message is None:
            raise no_such_message()
        report = {"_id": f"{message_id}:{reporter_id}", "version": message.version, "reason": reason, "at": now()}
        with suppress(DuplicateKeyError):
            await self._reports.insert_one(report)
