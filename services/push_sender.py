"""Sends one push to one endpoint, and says what came of it."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from services import ids
from services.clock import now
from services.egress import FAILURES, Egress
from services.entries import MessageSent
from services.mongo import Database, parsed
from services.push_endpoints import PushEndpoint, PushEndpointKind
from services.push_payload import payload, signed
from services.state import Conversation
from services.users import Users
from services.vapid import Subscription, Vapid

GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})

_logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of sending."""

    is_over: bool  # whether it needs no other try
    is_gone: bool = False  # whether the endpoint is no more
    retry_after_seconds: float = 0.0


class PushSender:
    """What all endpoints are sent by."""

    def __init__(self, database: Database, users: Users, egress: Egress, vapid: Vapid | None, *, preview: bool) -> None:
        self._conversations = database["conversations"]
        self._users = users
        self._egress = egress
        self._vapid = vapid
        self._preview = preview

    async def send(self, user_id: str, sent: MessageSent, endpoint: PushEndpoint) -> Outcome:
        """Tell a user of a message at one endpoint.

        Raises:
            PyMongoError: MongoDB did not answer; nothing was sent.
        """
        try:
            headers, body = self._request(endpoint, user_id, sent, await self._payload(user_id, sent))
        except ValueError:
            _logger.warning("push.unusable", endpoint=endpoint.id)  # its keys were looked at when it was registered
            return Outcome(is_over=True)
        try:
            answer = await self._egress.post(endpoint.url, headers, body)
        except FAILURES as error:
            _logger.info("push.not_sent", endpoint=endpoint.id, error=type(error).__name__)
            return Outcome(is_over=False)
        if answer.status in GONE:
            return Outcome(is_over=True, is_gone=True)
        if answer.status in BUSY or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Outcome(is_over=False, retry_after_seconds=answer.retry_after_seconds)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            _logger.warning("push.refused", endpoint=endpoint.id, status=answer.status)
        return Outcome(is_over=True)

    async def _payload(self, user_id: str, sent: MessageSent) -> bytes:
        conversation = parsed(Conversation, await self._conversations.find_one({"_id": sent.conversation_id}))
        sender = await self._users.get(sent.actor_id)
        if conversation is None or sender is None:  # they were there when it was sent
            raise PyMongoError("MongoDB is behind")
        return payload(user_id, sent, conversation, sender, preview=self._preview)

    def _request(
        self, endpoint: PushEndpoint, user_id: str, sent: MessageSent, body: bytes
    ) -> tuple[dict[str, str], bytes]:
        if endpoint.kind is PushEndpointKind.WEBHOOK:
            assert endpoint.secret is not None  # a webhook has one
            push_id = ids.push(user_id, sent.conversation_id, sent.sequence)
            return signed(push_id, endpoint.secret, body, now()), body
        assert endpoint.p256dh is not None
        assert endpoint.auth is not None
        if self._vapid is None:
            raise ValueError("there is no key")
        return self._vapid.request(Subscription(endpoint.url, endpoint.p256dh, endpoint.auth), body, now())
