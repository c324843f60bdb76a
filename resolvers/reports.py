"""Reports of messages, and what operators make of them."""

from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services import ids
from services.clock import now
from services.messages import Message
from services.paging import window
from services.reports import Report, ReportResolution, ReportState
from services.users import User


async def reports(
    info: Info,
    state: Annotated[
        ReportState | None, strawberry.argument(description="Only those in this state; all when left out.")
    ] = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    service, asked = info.context.services.reports, window(first, after, last, before)
    return connection(await service.page(info.context.viewer, asked, state=state))


async def message(root: strawberry.Parent[Report], info: Info) -> Message | None:
    return await info.context.services.reports.message(root)


async def conversation_id(root: strawberry.Parent[Report]) -> str:
    return ids.message_place(root.message_id)[0]


async def reporter(root: strawberry.Parent[Report], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.reporter_id)


async def resolved_by(root: strawberry.Parent[Report], info: Info) -> User | None:
    return None if root.resolved_by_id is None else await info.context.loaders.users.load(root.resolved_by_id)


@refusable
async def report_message(info: Info, message_id: str, reason: str) -> Payload:
    await info.context.services.reports.report(info.context.viewer_id, message_id, reason, now())
    return Payload(message_id=message_id)


@refusable
async def resolve_report(info: Info, report_id: str, resolution: ReportResolution, note: str | None) -> Payload:
    service = info.context.services.reports
    return Payload(report=await service.resolve(info.context.viewer, report_id, resolution, note, now()))
