"""Tells one address of alerts, by requests that are signed as those of push webhooks are."""

import asyncio
from ipaddress import ip_network
from typing import Final, Self

import orjson
import structlog

from services import ids
from services.alerts import Alert, AlertState
from services.clock import now, rfc3339
from services.config import Settings
from services.egress import FAILURES, Egress
from services.push_payload import signed

RETRY_SECONDS: Final = (1.0, 60.0)  # between the first two tries, and the longest
TRY_SECONDS: Final = 86_400.0  # then it is given up

_logger = structlog.get_logger()


def egress() -> Egress:
    """Return the way out: whoever sets the address may have it anywhere, also on this machine."""
    return Egress(networks=[ip_network("0.0.0.0/0"), ip_network("::/0")], allows_http=True)


class AlertWebhook:
    """The address, and how often it was tried."""

    def __init__(self, egress: Egress, url: str, secret: str) -> None:
        """Prepare.

        Args:
            egress: The way out, while it runs.
            url: The address.
            secret: What is signed with, as for push webhooks: a text, or `whsec_` and base64.
        """
        self._egress = egress
        self._url = url
        self._secret = secret
        self._tries: dict[tuple[str, str], tuple[float, float, float]] = {}  # the first, the next, and the pause

    @classmethod
    def of(cls, settings: Settings, egress: Egress) -> Self | None:
        """Return the webhook that is set, or None.

        Raises:
            ValueError: it has no secret, or one that cannot be read.
        """
        if settings.alert_webhook_url is None:
            return None
        if settings.alert_webhook_secret_file is None:  # only workers need it: others may have the address alone
            raise ValueError("PARLEY_ALERT_WEBHOOK_URL needs PARLEY_ALERT_WEBHOOK_SECRET_FILE")
        try:
            secret = settings.alert_webhook_secret_file.read_text().strip()
        except OSError as error:
            raise ValueError(f"PARLEY_ALERT_WEBHOOK_SECRET_FILE cannot be read: {error.strerror}") from None
        if not secret:
            raise ValueError("PARLEY_ALERT_WEBHOOK_SECRET_FILE names an empty file")
        return cls(egress, settings.alert_webhook_url, secret)

    async def tell(self, alert: Alert) -> bool:
        """Tell it of an alert as it is, if that is due; return whether it needs no other try."""
        key, time = (alert.id, alert.state), asyncio.get_running_loop().time()
        first, due, pause = self._tries.get(key, (time, time, RETRY_SECONDS[0]))
        if time < due:
            return False
        request_id = ids.derived_id("alw", *key)
        body = payload(request_id, alert)
        try:
            answer = await self._egress.post(self._url, signed(request_id, self._secret, body, now()), body)
            problem = None if answer.status < 300 else f"status {answer.status}"
        except FAILURES as error:
            problem = type(error).__name__
        if problem is not None and time - first < TRY_SECONDS:
            _logger.warning("alerts.webhook_failed", alert=alert.id, problem=problem)
            self._tries[key] = (first, time + pause, min(2 * pause, RETRY_SECONDS[1]))
            return False
        if problem is not None:
            _logger.error("alerts.webhook_given_up", alert=alert.id, problem=problem)
        for state in AlertState:  # what it was not told is over, and it will not be
            self._tries.pop((alert.id, state), None)
        return True


def payload(request_id: str, alert: Alert) -> bytes:
    """Return what is told of an alert, as JSON."""
    return orjson.dumps(
        {
            "type": f"alert.{alert.state.lower()}",
            "id": request_id,
            "alert": {
                "id": alert.id,
                "name": alert.name,
                "severity": alert.severity,
                "state": alert.state,
                "message": alert.message,
                "value": alert.value,
                "threshold": alert.threshold,
                "startedAt": rfc3339(alert.started_at),
                "endedAt": None if alert.ended_at is None else rfc3339(alert.ended_at),
            },
        }
    )
