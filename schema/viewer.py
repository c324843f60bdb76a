"""The caller."""

from datetime import datetime

from resolvers import conversations, limits, sessions, users
from schema.connections import Connection
from schema.conversations import Conversation
from schema.sessions import Session
from schema.users import User
from schema.view import field, resolved, view
from services.limits import Standing
from services.users import Role


@view(Standing, "What is left of one of the caller's limits.")
class RateLimit:
    bucket: str = field(
        "What is counted: `api` requests over HTTP, `authentication` attempts to show or set a password, `messages` "
        "sends, `light` typing, presence and receipts, `socket` operations on the socket of the request."
    )
    limit: int = field("How many are accepted in any window of time.")
    remaining: int = field("How many are accepted now.")
    window_seconds: int = field("How long the window is.")
    reset_at: datetime = field("When all of it is there again, if nothing more is done.")


@view(users.Viewer, "The caller.")
class Viewer:
    user: User = resolved(users.viewer_user, User, "The caller as others see them.")
    roles: list[Role] = resolved(users.viewer_roles, list[Role], "What the caller may do.")
    conversations: Connection[Conversation] = resolved(
        conversations.of_viewer,
        Connection[Conversation],
        "The caller's conversations: that one first in which something was said last, or which was joined last.",
    )
    unread_count: int = resolved(
        users.unread_count,
        int,
        "What the caller has not read of the conversations that are neither archived nor muted.",
    )
    sessions: list[Session] = resolved(
        sessions.of_viewer, list[Session], "The caller's live sessions, the oldest first."
    )
    rate_limits: list[RateLimit] = resolved(
        limits.of_viewer, list[RateLimit], "What the caller may still do; empty where nothing is limited."
    )
    blocked_users: Connection[User] = resolved(
        users.blocked_by_viewer, Connection[User], "Whom the caller has blocked."
    )
