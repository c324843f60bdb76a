"""The record of each send: made at its first attempt, by whichever process, and the same for all that follow."""

from dataclasses import dataclass

from pymongo.errors import BulkWriteError

from services.gathering import Gathering, Spawn
from services.mongo import DUPLICATE_KEY, Database


@dataclass(frozen=True, slots=True)
class SendRecord:
    """What is fixed at the first attempt."""

    id: str  # of the conversation, the sender and what the client calls the message
    base: int  # the sequence above which the message stands, if it does
    fingerprint: bytes  # of what is sent


class Sends:
    """The records of all conversations. Those that are made at the same time are one command to MongoDB."""

    def __init__(self, database: Database, spawn: Spawn) -> None:
        self._sends = database["sends"]
        self._making = Gathering(self._make, spawn)

    async def is_known(self, record_id: str) -> bool:
        """Return whether a send was attempted before.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        return await self._sends.find_one({"_id": record_id}) is not None

    async def settled(self, record: SendRecord) -> SendRecord:
        """Make the record of a send if it is the first attempt; return the one that stands.

        Raises:
            PyMongoError: MongoDB did not answer; the record may stand or not.
        """
        if await self._making.get([record]):
            return record
        found = await self._sends.find_one({"_id": record.id})
        assert found is not None  # records are never removed
        return SendRecord(record.id, int(found["base"]), found["fingerprint"])

    async def _make(self, records: list[SendRecord]) -> dict[SendRecord, bool]:
        """Insert those that are new, and return them."""
        documents = [{"_id": made.id, "base": made.base, "fingerprint": made.fingerprint} for made in records]
        taken = set[int]()
        try:
            await self._sends.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(failure["code"] != DUPLICATE_KEY for failure in failures):
                raise
            taken = {failure["index"] for failure in failures}
        return {record: True for index, record in enumerate(records) if index not in taken}
