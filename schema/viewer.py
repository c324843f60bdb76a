"""The caller."""

from resolvers import conversations, sessions, users
from schema.connections import Connection
from schema.conversations import Conversation
from schema.sessions import Session
from schema.users import User
from schema.view import resolved, view
from services.users import Role


@view(users.Viewer, "The caller.")
class Viewer:
    user: User = resolved(users.viewer_user, User, "The caller as others see them.")
    roles: list[Role] = resolved(users.viewer_roles, list[Role], "What the caller may do.")
    conversations: Connection[Conversation] = resolved(
        conversations.of_viewer, Connection[Conversation], "The caller's conversations, the newest first."
    )
    unread_count: int = resolved(
        users.unread_count,
        int,
        "What the caller has not read of the conversations that are neither archived nor muted.",
    )
    sessions: list[Session] = resolved(
        sessions.of_viewer, list[Session], "The caller's live sessions, the oldest first."
    )
    blocked_users: Connection[User] = resolved(
        users.blocked_by_viewer, Connection[User], "Whom the caller has blocked."
    )
