"""The audit log."""

from datetime import datetime

import strawberry

from resolvers import audit as resolvers
from schema.connections import Node
from schema.users import User
from schema.view import field, resolved, view
from services import audit
from services.audit import AuditEventKind

strawberry.enum(AuditEventKind, description="What was done.")


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
