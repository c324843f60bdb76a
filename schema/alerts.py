"""Alerts."""

from datetime import datetime

from schema.connections import Node
from schema.view import enumeration, field, view
from services import alerts
from services.alert_rules import AlertSeverity
from services.alerts import AlertState

enumeration(
    AlertSeverity,
    "How bad it is.",
    WARNING="Somebody should look at it in the next hours.",
    CRITICAL="Somebody should look at it now.",
)
enumeration(
    AlertState,
    "Whether it goes on.",
    FIRING="It goes on.",
    RESOLVED="It is over.",
)


@view(alerts.Alert, "Something that is wrong with the deployment, or was. For OPERATOR and ADMIN.")
class Alert(Node):
    name: str = field("The name of the rule; docs/alerts.md says what to do.")
    severity: AlertSeverity = field("How bad it is.")
    state: AlertState = field("Whether it goes on.")
    message: str = field("What is wrong, with the value as it was when the alert began to fire.")
    value: float | None = field("That value; null where there is none.")
    threshold: float | None = field("Above what the rule holds; null where there is no such number.")
    started_at: datetime = field("From when on the rule held.")
    ended_at: datetime | None = field("Until when it did; null while it fires.")
