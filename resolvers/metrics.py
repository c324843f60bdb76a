"""How the deployment is doing, for operators."""

from datetime import datetime
from typing import Annotated

import strawberry

from resolvers.context import Info
from services.errors import BadUserInput, Unavailable
from services.metric_history import MetricsResolution
from services.metrics import Metrics, MetricsPoint
from services.redis import RedisFailedError
from services.streams import MetricsStream

From = Annotated[
    datetime, strawberry.argument(name="from", description="When the first point begins, at the earliest.")
]
To = Annotated[datetime, strawberry.argument(description="When the last point begins, before this.")]
Resolution = Annotated[MetricsResolution, strawberry.argument(description="How long a point is.")]
EverySeconds = Annotated[int, strawberry.argument(description="How often, in seconds: 1 to 60.")]

SLOWEST_SECONDS = 60


async def metrics(info: Info) -> Metrics:
    info.context.viewer.require_operator()
    try:
        return await info.context.services.metrics.metrics()
    except RedisFailedError:
        raise Unavailable("Redis does not answer. Try again.") from None


async def metrics_history(
    info: Info, since: From, to: To, resolution: Resolution = MetricsResolution.MINUTE
) -> list[MetricsPoint]:
    info.context.viewer.require_operator()
    return await info.context.services.metrics.points(since, to, resolution)


async def metrics_samples(info: Info, every_seconds: EverySeconds = 5) -> MetricsStream:
    info.context.viewer.require_operator()
    if not 1 <= every_seconds <= SLOWEST_SECONDS:
        raise BadUserInput(f"`everySeconds` must be between 1 and {SLOWEST_SECONDS}.")
    return MetricsStream(every_seconds)
