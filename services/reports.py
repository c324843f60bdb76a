"""What users have reported: a queue for operators, the oldest first; a user's first report of a message stands.

A report is claimed by inserting `reported/<message>:<reporter>` with its id, then it is inserted under that id, whose
order is that of time. Where the second insert did not come, the next report of the same message by the same user
brings it.
"""

from contextlib import suppress
from datetime import datetime
from enum import StrEnum

from odmantic import Field, Model
from odmantic.config import ODMConfigDict
from pymongo.errors import DuplicateKeyError

from services import ids, inputs
from services.audit import Audit, AuditEventKind
from services.errors import Conflict, NotFound
from services.messages import Message, Messages
from services.mongo import Collection, Database, Document, parsed
from services.paging import Page, Window, cursor_of, key_of, read_page
from services.tokens import Claims


class ReportState(StrEnum):
    OPEN = "OPEN"
    RESOLVED = "RESOLVED"


class ReportResolution(StrEnum):
    ACTION_TAKEN = "ACTION_TAKEN"
    DISMISSED = "DISMISSED"


class Report(Model):
    """What somebody says is wrong with a message."""

    id: str = Field(primary_field=True)
    message_id: str = Field(key_name="message")
    reporter_id: str = Field(key_name="reporter")
    reported_version: int = Field(key_name="version")
    reason: str
    created_at: datetime = Field(key_name="at")
    state: ReportState = ReportState.OPEN
    # Of an open report these are None, and the note also where the operator left none.
    resolution: ReportResolution | None = None
    note: str | None = None
    resolved_at: datetime | None = Field(default=None, key_name="resolvedAt")
    resolved_by_id: str | None = Field(default=None, key_name="resolvedBy")

    model_config = ODMConfigDict(collection="reports")


class Reports:
    """Reports of all messages."""

    def __init__(self, database: Database, messages: Messages) -> None:
        self._claims: Collection = database["reported"]
        self._reports: Collection = database["reports"]
        self._messages = messages
        self._audit = Audit(database)

    async def report(self, reporter_id: str, message_id: str, reason: str, now: datetime) -> None:
        """Put a message into the queue; a user's first report of it stands.

        Raises:
            InvalidInput: the reason is empty or too long.
            NotFound: there is no such message for the reporter.
        """
        reason = inputs.Report.of(reason=reason).reason
        message = await self._messages.visible(reporter_id, message_id)
        if message is None:
            raise NotFound("There is no such message.", ("input", "messageId"))
        report_id = await self._claim(f"{message_id}:{reporter_id}", reporter_id)
        report = Report(
            id=report_id,
            message_id=message_id,
            reporter_id=reporter_id,
            reported_version=message.version,
            reason=reason,
            created_at=now,
        )
        with suppress(DuplicateKeyError):
            await self._reports.insert_one(report.model_dump_doc())

    async def page(self, viewer: Claims, window: Window, *, state: ReportState | None) -> Page[Report]:
        """Return reports of a state, or all, the oldest first.

        Raises:
            Forbidden: the viewer is no operator.
            BadUserInput: a cursor is none.
        """
        viewer.require_operator()

        def item(document: Document) -> tuple[str, Report]:
            return cursor_of(document["_id"]), Report.model_validate_doc(document)

        where = {} if state is None else {"state": state.value}
        return await read_page(self._reports, ("rep_", "rep_~"), window, key=key_of, item=item, where=where)

    async def visible(self, viewer: Claims, report_id: str) -> Report | None:
        """Return a report to an operator; None to anybody else, and where there is none."""
        return await self._get(report_id) if viewer.is_operator else None

    async def resolve(
        self, viewer: Claims, report_id: str, resolution: ReportResolution, note: str | None, now: datetime
    ) -> Report:
        """Take a report out of the queue; doing it again in the same way changes nothing.

        Raises:
            Forbidden: the viewer is no operator.
            NotFound: there is no such report.
            InvalidInput: the note is too long.
            Conflict: it was resolved in another way.
        """
        viewer.require_operator()
        note = inputs.Resolution.of(note=note).note
        fields = {"resolution": resolution.value, "note": note, "resolvedAt": now, "resolvedBy": viewer.user_id}
        is_resolved = ids.kind(report_id) == "rep" and await self._reports.update_one(
            {"_id": report_id, "state": ReportState.OPEN.value},
            {"$set": {"state": ReportState.RESOLVED.value, **fields}},
        )
        report = await self._get(report_id)
        if report is None:
            raise NotFound("There is no such report.", ("input", "reportId"))
        if report.resolution is not resolution:
            raise Conflict("The report was resolved in another way.", ("input", "resolution"))
        if is_resolved:
            await self._audit.record(
                AuditEventKind.REPORT_RESOLVED,
                actor_id=viewer.user_id,
                subject_id=report.reporter_id,
                detail=f"{report_id} {resolution.value}",
            )
        return report

    async def message(self, report: Report) -> Message | None:
        """Return the message as it is now, for an operator."""
        return await self._messages.shown(report.message_id)

    async def _get(self, report_id: str) -> Report | None:
        if ids.kind(report_id) != "rep":
            return None
        return parsed(Report, await self._reports.find_one({"_id": report_id}))

    async def _claim(self, claim_id: str, reporter_id: str) -> str:
        """Return the id of a user's report of a message, which is always the same."""
        report_id = ids.new_id("rep")
        try:
            await self._claims.insert_one({"_id": claim_id, "report": report_id, "reporter": reporter_id})
        except DuplicateKeyError:
            claim = await self._claims.find_one({"_id": claim_id})
            if claim is not None:  # else it was removed with the reporter meanwhile
                return str(claim["report"])
        return report_id
