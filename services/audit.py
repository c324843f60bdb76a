"""The audit log: what was done to accounts and sessions, by whom, to whom, when, and from which network.

An event is one document in the order of time. It never holds what somebody typed.
"""

import os
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from odmantic import Field, Model
from odmantic.config import ODMConfigDict
from pymongo.errors import PyMongoError

from services import ids
from services.clock import now
from services.failures import described
from services.mongo import Collection, Database, Document
from services.origins import SOURCE
from services.paging import LARGEST_PAGE, Page, Window, cursor_of, key_of, read_page

COLLECTION: Final = "audit"
# What is kept of an address: the network of a provider's customer, not which of its machines.

_logger = structlog.get_logger()


class AuditEventKind(StrEnum):
    REGISTERED = "REGISTERED"
    SIGNED_IN = "SIGNED_IN"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"
    REFRESH_TOKEN_REUSED = "REFRESH_TOKEN_REUSED"  # noqa: S105  # it is no token
    SESSION_REVOKED = "SESSION_REVOKED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105
    RESET_LINK_CREATED = "RESET_LINK_CREATED"
    ROLES_CHANGED = "ROLES_CHANGED"
    ACCOUNT_SUSPENDED = "ACCOUNT_SUSPENDED"
    ACCOUNT_RESTORED = "ACCOUNT_RESTORED"
    ACCOUNT_EXPORTED = "ACCOUNT_EXPORTED"
    ACCOUNT_ERASED = "ACCOUNT_ERASED"
    REPORT_RESOLVED = "REPORT_RESOLVED"


class AuditEvent(Model):
    """Something that was done."""

    id: str = Field(primary_field=True)
    kind: AuditEventKind
    at: datetime
    actor_id: str | None = Field(default=None, key_name="actor")  # None: the command line, or nobody who is known
    subject_id: str | None = Field(default=None, key_name="subject")  # whose account; None where there is none
    session_id: str | None = Field(default=None, key_name="session")  # None where no one session is meant
    request_id: str | None = Field(default=None, key_name="requestId")  # None: the command line
    network: str | None = None  # None where no address is known
    detail: str | None = None  # what else there is to say; None where that is all

    model_config = ODMConfigDict(collection=COLLECTION)


class Audit:
    """Writes the log, and reads it for operators."""

    def __init__(self, database: Database) -> None:
        self._events: Collection = database[COLLECTION]

    async def record(
        self,
        kind: AuditEventKind,
        *,
        actor_id: str | None = None,
        subject_id: str | None = None,
        session_id: str | None = None,
        detail: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Write down what was done; where MongoDB does not take it, the process's log has it instead."""
        source = SOURCE.get()
        time = at or now()
        event = AuditEvent(
            id=_id(time, os.urandom(10)),
            kind=kind,
            at=time,
            actor_id=actor_id,
            subject_id=subject_id,
            session_id=session_id,
            request_id=source.request_id,
            network=source.network,
            detail=detail,
        )
        try:
            await self._events.insert_one(event.model_dump_doc())
        except PyMongoError as error:
            fields = {"kind": kind.value, "actor": actor_id, "subject": subject_id, "session": session_id}
            _logger.error("audit.not_written", **fields, detail=detail, error=described(error))  # noqa: TRY400

    async def page(
        self, window: Window, *, kind: AuditEventKind | None = None, user_id: str | None = None
    ) -> Page[AuditEvent]:
        """Return events, the newest first: all, those of a kind, or those that a user did or that were done to them.

        Raises:
            BadUserInput: a cursor is none.
            PyMongoError: MongoDB did not answer.
        """
        where: Document = {}
        if kind is not None:
            where["kind"] = kind.value
        if user_id is not None:
            where["$or"] = [{"actor": user_id}, {"subject": user_id}]

        def item(document: Document) -> tuple[str, AuditEvent]:
            return cursor_of(document["_id"]), AuditEvent.model_validate_doc(document)

        return await read_page(
            self._events, ("aud_", "aud_~"), window, key=key_of, item=item, where=where, newest_first=True
        )

    async def newest(
        self, limit: int, *, kind: AuditEventKind | None = None, user_id: str | None = None
    ) -> list[AuditEvent]:
        """Return as many of the newest events, the newest first; raises as `page`."""
        found: list[AuditEvent] = []
        after: str | None = None
        while len(found) < limit:
            window = Window(min(LARGEST_PAGE, limit - len(found)), from_end=False, after=after, before=None)
            page = await self.page(window, kind=kind, user_id=user_id)
            found += [event for _, event in page.items]
            if not page.has_next:
                break
            after, _ = page.items[-1]
        return found

    async def get(self, event_id: str) -> AuditEvent | None:
        """Return one event, or None."""
        document = await self._events.find_one({"_id": event_id})
        return None if document is None else AuditEvent.model_validate_doc(document)


def first_id(time: datetime) -> str:
    """Return an id that sorts before those of a time's events, and after those of earlier ones."""
    return _id(time, bytes(10))


def kept_from(time: datetime, days: int) -> str:
    """Return the id before which events are old enough to be removed."""
    return first_id(time - timedelta(days=days))


def _id(time: datetime, chance: bytes) -> str:
    return ids.id_at("aud", time, chance)
