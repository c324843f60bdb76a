"""The audit log."""

from datetime import datetime

import strawberry

from resolvers import audit as resolvers
from schema.connections import Node
from schema.users import User
from schema.view import enumeration, field, resolved, view
from services import audit
from services.audit import AuditEventKind

enumeration(
    AuditEventKind,
    "What was done.",
    REGISTERED="An account was made.",
    SIGNED_IN="Somebody signed in.",
    SIGN_IN_FAILED="Somebody tried to, with a password that is not the account's.",
    REFRESH_TOKEN_REUSED="A refresh token was shown again; its session has ended.",  # noqa: S106  # it is no password
    SESSION_REVOKED="A session was ended before its time.",
    PASSWORD_CHANGED="The user changed the password.",  # noqa: S106
    PASSWORD_RESET="The password was set with a one-time link.",  # noqa: S106
    RESET_LINK_CREATED="A one-time link for that was made.",
    ROLES_CHANGED="The account may do more, or less.",
    ACCOUNT_SUSPENDED="The account can no longer be used.",
    ACCOUNT_RESTORED="The account can be used again.",
    ACCOUNT_EXPORTED="All that is kept of the account was given out.",
    ACCOUNT_ERASED="The account was erased.",
    REPORT_RESOLVED="A report was looked at.",
)


@view(audit.AuditEvent, "Something that was done to an account or a session. For OPERATOR and ADMIN.")
class AuditEvent(Node):
    kind: AuditEventKind = field("What was done.")
    at: datetime = field("When.")
    actor: User | None = resolved(
        resolvers.actor, User | None, "Who did it; null for the command line, and for whoever is not known."
    )
    actor_id: strawberry.ID | None = field("The id of who did it; null as `actor`.")
    subject: User | None = resolved(
        resolvers.subject, User | None, "To whose account it was done; null where there is no such account."
    )
    subject_id: strawberry.ID | None = field("The id of the account's user; null as `subject`.")
    session_id: strawberry.ID | None = field("Which session it was about; null where no one session is meant.")
    request_id: str | None = field("The request's id, as logs and errors have it; null for the command line.")
    network: str | None = field("The network that the request came from, and no more; null for the command line.")
    detail: str | None = field("What else there is to say, as the new role; null where that is all.")
