"""The limit of plain HTTP routes: slowapi counts it, by address and in this process alone, for they change nothing."""

import math
import time
from collections.abc import Callable
from typing import Any, override

from limits import RateLimitItem
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from starlette.requests import Request
from starlette.responses import Response

from services.config import Settings
from services.limit_rules import Bucket


class PlainLimiter(Limiter):
    """Decorates plain routes, each of which has a window of its own for each address."""

    def __init__(self, settings: Settings) -> None:
        rule = settings.rate_limits.of(Bucket.PLAIN)
        super().__init__(
            key_func=lambda request: request.state.origin.address,
            strategy="moving-window",
            storage_uri="memory://",
            key_style="endpoint",
            enabled=rule is not None,
        )
        self._rule = "" if rule is None else f"{rule.limit} per {rule.seconds} second"

    def __call__[**P](self, route: Callable[P, Any]) -> Callable[P, Any]:
        """Return a route that refuses what is too much, and says in each answer what is left."""
        limited: Callable[P, Any] = self.limit(self._rule)(route) if self.enabled else route
        return limited

    @override
    def _inject_headers(self, response: Response, current_limit: tuple[RateLimitItem, list[str]]) -> Response:
        response.headers.update(self._headers(*current_limit))
        return response

    @override
    def _check_request_limit(
        self, request: Request, endpoint_func: Callable[..., Any] | None, in_middleware: bool = True
    ) -> None:
        try:
            super()._check_request_limit(request, endpoint_func, in_middleware)
        except RateLimitExceeded as refused:
            found = self._headers(*request.state.view_rate_limit)
            refused.headers = {**found, "retry-after": str(self._seconds(*request.state.view_rate_limit))}
            raise

    def _headers(self, item: RateLimitItem, who: list[str]) -> dict[str, str]:
        """Return what an answer says of the limit, as those of operations do (draft-ietf-httpapi-ratelimit-headers)."""
        left = self.limiter.get_window_stats(item, *who).remaining
        return {
            "ratelimit-policy": f'"{Bucket.PLAIN}";q={item.amount};w={item.get_expiry()}',
            "ratelimit": f'"{Bucket.PLAIN}";r={left};t={self._seconds(item, who)}',
        }

    def _seconds(self, item: RateLimitItem, who: list[str]) -> int:
        """Return after how many seconds the oldest request does not count any more."""
        return max(1, math.ceil(self.limiter.get_window_stats(item, *who).reset_time - time.time()))
