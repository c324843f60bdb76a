"""The audit log, for operators."""

from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from services.audit import AuditEvent, AuditEventKind
from services.paging import window
from services.users import User


async def audit_events(
    info: Info,
    kind: Annotated[
        AuditEventKind | None, strawberry.argument(description="Only those of this kind; all when left out.")
    ] = None,
    user_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(description="Only what this user did, or what was done to them; all when left out."),
    ] = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    info.context.viewer.require_operator()
    asked = window(first, after, last, before)
    return connection(await info.context.services.audit.page(asked, kind=kind, user_id=user_id))


async def actor(root: strawberry.Parent[AuditEvent], info: Info) -> User | None:
    return None if root.actor_id is None else await info.context.loaders.users.load(root.actor_id)


async def subject(root: strawberry.Parent[AuditEvent], info: Info) -> User | None:
    return None if root.subject_id is None else await info.context.loaders.users.load(root.subject_id)
