"""Alerts, for operators."""

from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from services.alerts import AlertState, AlertStream
from services.paging import window

State = Annotated[AlertState | None, strawberry.argument(description="Only those in this state; all when left out.")]


async def alerts(
    info: Info, state: State = None, first: First = None, after: After = None, last: Last = None, before: Before = None
) -> Connection:
    info.context.viewer.require_operator()
    asked = window(first, after, last, before)
    return connection(await info.context.services.alerts.page(asked, state=state))


async def alert_changes(info: Info) -> AlertStream:
    info.context.viewer.require_operator()
    return AlertStream()
