"""Whether Parley is well."""

from datetime import datetime

import strawberry

from schema.view import field, view
from services import health
from services.health import HealthStatus

strawberry.enum(HealthStatus, description="DEGRADED: something is slower or missing; UNHEALTHY: the chat itself is.")


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
