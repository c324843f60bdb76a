"""What a push says, and how a webhook's receiver knows that it is ours."""

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

import orjson

from services import ids
from services.entries import MessageSent
from services.push_endpoints import signing_key
from services.state import Conversation
from services.users import User

# With a title and a name of any length that there may be, it stays below what a Web Push holds: 3 993 bytes.
PREVIEW_CHARACTERS: Final = 240


def payload(user_id: str, sent: MessageSent, conversation: Conversation, sender: User, *, preview: bool) -> bytes:
    """Return what tells a user of a message, as JSON; without a preview it has no text of anybody."""
    return orjson.dumps(
        {
            "type": "message",
            "id": ids.push(user_id, sent.conversation_id, sent.sequence),
            "userId": user_id,
            "conversationId": sent.conversation_id,
            "messageId": sent.message_id,
            "sequence": sent.sequence,
            "at": sent.at,
            "title": conversation.title if preview else None,
            "sender": {"id": sender.id, "name": sender.display_name if preview else None},
            "body": _beginning(sent.current_body or "") if preview else None,
        },
        option=orjson.OPT_UTC_Z,
    )


def signed(push_id: str, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """Return the headers of a webhook, as Standard Webhooks has them: `id.timestamp.body` is what is signed."""
    moment = str(int(now.timestamp()))
    signature = hmac.digest(signing_key(secret), f"{push_id}.{moment}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": push_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _beginning(text: str) -> str:
    return text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1].rstrip() + "…"
