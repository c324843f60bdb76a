"""The API's table of contents: queries, mutations, subscriptions."""

from datetime import datetime

import strawberry
from graphql import GraphQLSchema, Undefined, lexicographic_sort_schema, print_schema
from strawberry.schema.config import StrawberryConfig

from resolvers import (
    alerts,
    audit,
    conversations,
    events,
    health,
    messages,
    metrics,
    nodes,
    presence,
    push,
    reports,
    sessions,
    typing,
    users,
)
from schema.accounts import AccountMutations
from schema.alerts import Alert
from schema.audit import AuditEvent
from schema.connections import Connection, Node
from schema.conversations import Conversation, ConversationMutations
from schema.errors import InputError, RateLimitError
from schema.events import ConversationUpdate
from schema.health import Health
from schema.messages import Message, MessageMutations
from schema.metrics import Metrics, MetricsPoint
from schema.presence import Presence, PresenceMutations
from schema.push import PushMutations
from schema.receipts import ReceiptMutations
from schema.reports import Report, ReportMutations
from schema.sessions import Session, SessionMutations, SessionNotice
from schema.tracking import TrackingMutations
from schema.typing import TypingMutations, TypingState
from schema.users import User, UserMutations
from schema.view import DateTime, resolved
from schema.viewer import Viewer


@strawberry.type(description="What can be asked.")
class Query:
    viewer: Viewer = resolved(users.viewer, Viewer, "The caller.")
    node: Node | None = resolved(nodes.node, Node | None, "Anything by its id; null when missing or hidden.")
    nodes: list[Node | None] = resolved(nodes.nodes, list[Node | None], "Many things by their ids, in that order.")
    user_by_handle: User | None = resolved(users.user_by_handle, User | None, "A person by handle.")
    users: Connection[User] = resolved(
        users.search, Connection[User], "People whose handle begins with `search`, which has at least 2 characters."
    )
    conversation: Conversation | None = resolved(
        conversations.conversation, Conversation | None, "A conversation by id; null for whoever is not a member."
    )
    presence: list[Presence] = resolved(
        presence.presence, list[Presence], "Whether people are there, in the order of their ids."
    )
    metrics_history: list[MetricsPoint] = resolved(
        metrics.metrics_history,
        list[MetricsPoint],
        "How it was doing, the oldest first: minutes for two days, hours for thirty, days for a year. For OPERATOR and "
        "ADMIN.",
    )
    metrics: Metrics = resolved(metrics.metrics, Metrics, "How the deployment is doing now. For OPERATOR and ADMIN.")
    search_messages: Connection[Message] = resolved(
        messages.search,
        Connection[Message],
        "The messages with all words of `query` that the caller may read, the newest first, as they are now.",
    )
    push_public_key: str | None = resolved(
        push.public_key,
        str | None,
        "The key that browsers subscribe to Web Push with (`applicationServerKey`); null where there is no Web Push. "
        "Public: no token needed.",
    )
    health: Health = resolved(health.health, Health, "How Parley is. Public: no token needed.")
    alerts: Connection[Alert] = resolved(
        alerts.alerts,
        Connection[Alert],
        "What is wrong with the deployment and what was, the newest first. For OPERATOR and ADMIN.",
    )
    reports: Connection[Report] = resolved(
        reports.reports, Connection[Report], "What users have reported, the oldest first. For OPERATOR and ADMIN."
    )
    audit_events: Connection[AuditEvent] = resolved(
        audit.audit_events,
        Connection[AuditEvent],
        "What was done to accounts and sessions, the newest first. For OPERATOR and ADMIN.",
    )


@strawberry.type(description="What can be done.")
class Mutation(
    SessionMutations,
    UserMutations,
    ConversationMutations,
    MessageMutations,
    ReportMutations,
    AccountMutations,
    ReceiptMutations,
    TypingMutations,
    PresenceMutations,
    TrackingMutations,
    PushMutations,
):
    pass


@strawberry.type(description="What can be followed.")
class Subscription:
    conversation_updates = strawberry.subscription(
        resolver=events.conversation_updates,
        graphql_type=ConversationUpdate,
        description="One conversation: its log from `after` (now when left out) and then live, `CaughtUp` between.",
    )
    inbox_updates = strawberry.subscription(
        resolver=events.inbox_updates,
        graphql_type=ConversationUpdate,
        description="All of the caller's conversations, also those joined later, each as in `conversationUpdates`.",
    )
    typing = strawberry.subscription(
        resolver=typing.typing_changes,
        graphql_type=TypingState,
        description="Who is typing in a conversation: what there is when somebody is, then whenever that changes.",
    )
    presence = strawberry.subscription(
        resolver=presence.presence_changes,
        graphql_type=Presence,
        description="Whether at most 200 people are there: each as it is now, then whenever it changes, and again "
        "before `validUntil`.",
    )
    metrics = strawberry.subscription(
        resolver=metrics.metrics_samples,
        graphql_type=Metrics,
        description="How the deployment is doing, again and again. For OPERATOR and ADMIN.",
    )
    alerts = strawberry.subscription(
        resolver=alerts.alert_changes,
        graphql_type=Alert,
        description="What is wrong with the deployment: the alerts that fire, then each that begins to and each that "
        "is resolved. For OPERATOR and ADMIN.",
    )
    session = strawberry.subscription(
        resolver=sessions.session,
        graphql_type=SessionNotice,
        description="What concerns the session of this socket.",
    )


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[User, Conversation, Message, Session, Report, AuditEvent, Alert, RateLimitError, InputError],
    config=StrawberryConfig(scalar_map={datetime: DateTime}),
)


def graphql_schema() -> GraphQLSchema:
    """Return the schema as graphql-core executes it."""
    return _CORE


def _without_null_defaults(core: GraphQLSchema) -> GraphQLSchema:
    """Take away defaults of null, which Strawberry makes of Python's None: left out and null are not the same."""
    for type_ in core.type_map.values():
        for field in getattr(type_, "fields", {}).values():
            for value in (field, *getattr(field, "args", {}).values()):
                if getattr(value, "default_value", Undefined) is None:
                    value.default_value = Undefined
    return core


_CORE: GraphQLSchema = _without_null_defaults(schema._schema)  # noqa: SLF001  # Strawberry has no public name for it


def sdl() -> str:
    """Return the schema's text, sorted; a sorted schema itself would lose Strawberry's enum types."""
    return print_schema(lexicographic_sort_schema(graphql_schema())) + "\n"
