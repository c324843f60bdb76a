"""Whether Parley is well."""

from datetime import datetime

from schema.view import enumeration, field, view
from services import health
from services.health import HealthStatus

enumeration(
    HealthStatus,
    "DEGRADED: something is slower or missing; UNHEALTHY: the chat itself is.",
    HEALTHY="All is well.",
    DEGRADED="Something is slower or missing.",
    UNHEALTHY="The chat itself does not work.",
)


@view(health.ComponentHealth, "How one part is.")
class ComponentHealth:
    name: str = field("Which part.")
    status: HealthStatus = field("How it is.")
    latency_ms: float | None = field("How long it took to answer, in milliseconds; null when it did not.")
    detail: str | None = field("What is wrong; null when nothing is.")
    checked_at: datetime = field("When it was asked.")


@view(health.Health, "How Parley is, as the answering instance sees it.")
class Health:
    status: HealthStatus = field("The worst of the parts.")
    version: str = field("The version that runs.")
    instance: str = field("Which instance answered.")
    uptime_seconds: float = field("How long it has been running.")
    components: list[ComponentHealth] = field("The parts.")
