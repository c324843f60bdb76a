"""Reports of messages."""

from datetime import datetime

import strawberry

from resolvers import reports as resolvers
from schema.connections import Node
from schema.errors import Refusable
from schema.messages import Message
from schema.users import User
from schema.view import enumeration, field, mutation, resolved, view
from services import reports
from services.reports import ReportResolution, ReportState

enumeration(
    ReportState,
    "Whether somebody has looked at a report.",
    OPEN="Nobody has yet.",
    RESOLVED="An operator has.",
)
enumeration(
    ReportResolution,
    "What an operator made of a report.",
    ACTION_TAKEN="Something was done about it.",
    DISMISSED="Nothing had to be done.",
)


@view(reports.Report, "What somebody says is wrong with a message. For OPERATOR and ADMIN.")
class Report(Node):
    message: Message | None = resolved(
        resolvers.message, Message | None, "The message as it is now, whether or not the caller is a member."
    )
    message_id: strawberry.ID = field("The message's id.")
    conversation_id: strawberry.ID = resolved(
        resolvers.conversation_id, strawberry.ID, "The conversation in which it was said."
    )
    reported_version: int = field("Which version of the message it was: what it says now may be another.")
    reporter: User = resolved(resolvers.reporter, User, "Who reported it.")
    reason: str = field("What the reporter says.")
    created_at: datetime = field("When it was reported.")
    state: ReportState = field("Whether somebody has looked at it.")
    resolution: ReportResolution | None = field("What came of it; null while it is open.")
    note: str | None = field("What the operator noted; null when nothing.")
    resolved_at: datetime | None = field("When somebody resolved it; null while it is open.")
    resolved_by: User | None = resolved(resolvers.resolved_by, User | None, "Who resolved it; null while it is open.")


@strawberry.input(description="The input of `reportMessage`.")
class ReportMessageInput:
    message_id: strawberry.ID = field("The message.")
    reason: str = field("What is wrong with it: 1 to 1 000 characters.")


@strawberry.type(description="The outcome of `reportMessage`.")
class ReportMessagePayload(Refusable):
    message_id: strawberry.ID | None = field("The reported message; null when refused.")


@strawberry.input(description="The input of `resolveReport`.")
class ResolveReportInput:
    report_id: strawberry.ID = field("The report.")
    resolution: ReportResolution = field("What came of it.")
    note: str | None = strawberry.field(
        default=None, description="For other operators: at most 1 000 characters; nothing when left out."
    )


@strawberry.type(description="The outcome of `resolveReport`.")
class ResolveReportPayload(Refusable):
    report: Report | None = field("The report; null when refused.")


@strawberry.type
class ReportMutations:
    report_message = mutation(
        resolvers.report_message, ReportMessageInput, ReportMessagePayload, "Tell the operators about a message."
    )
    resolve_report = mutation(
        resolvers.resolve_report,
        ResolveReportInput,
        ResolveReportPayload,
        "Take a report out of the queue. For OPERATOR and ADMIN.",
    )
