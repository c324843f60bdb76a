"""What a push says fits, shows no more than it may, and is verified as docs/push.md has it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from services import ids
from services.clock import now
from services.entries import ConversationKind, MessageSent
from services.push_payload import payload, signed
from services.state import Conversation
from services.users import Role, User

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
LARGEST = 3_993  # bytes that a Web Push holds
DOCUMENT = Path(__file__).parents[2] / "docs/push.md"


def said(body: str, *, title: str = "Engines", name: str = "Ada", preview: bool = True) -> bytes:
    conversation_id, sender_id = ids.new_id("cnv"), ids.user()
    sent = MessageSent(
        conversation_id=conversation_id,
        sequence=2,
        key="k",
        actor_id=sender_id,
        at=AT,
        control=1,
        body=body,
        client_message_id="k",
    )
    conversation = Conversation(
        id=conversation_id,
        kind=ConversationKind.GROUP,
        title=title,
        created_at=AT,
        member_count=2,
        owner_count=1,
        applied=1,
    )
    sender = User(id=sender_id, handle="ada", display_name=name, password_hash="", roles=[Role.USER], created_at=AT)
    return payload(ids.user(), sent, conversation, sender, preview=preview)


@pytest.mark.parametrize("character", ["x", "語", "🎉", "\x01"])
def test_whatever_is_said_fits_into_a_web_push(character: str) -> None:
    assert len(said(character * 10_000, title=character * 100, name=character * 64)) <= LARGEST


def test_a_preview_is_the_beginning() -> None:
    content = orjson.loads(said("word " * 100))

    assert content["body"].endswith("word…")
    assert len(content["body"]) <= 240
    assert orjson.loads(said("short"))["body"] == "short"


def test_without_a_preview_there_is_no_text_of_anybody() -> None:
    content = said("the body", title="the title", name="the name", preview=False)

    assert not [word for word in (b"the body", b"the title", b"the name") if word in content]
    assert orjson.loads(content)["sender"]["name"] is None


@pytest.fixture
def verify() -> Callable[[str, dict[str, str], bytes], None]:
    """The function of the documentation."""
    (code,) = re.findall("```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[[str, dict[str, str], bytes], None] = names["verify"]
    return found


@pytest.mark.parametrize(
    "secret", ["a secret without spaces".replace(" ", "-"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_a_webhook_is_verified_as_the_documentation_does_it(
    verify: Callable[[str, dict[str, str], bytes], None], secret: str
) -> None:
    headers = signed("psh_1", secret, b"body", now())
    old = signed("psh_1", secret, b"body", now() - timedelta(minutes=6))

    verify(secret, headers, b"body")
    for changed, body in ((headers, b"another"), (headers | {"webhook-id": "psh_2"}, b"body"), (old, b"body")):
        with pytest.raises(ValueError, match=r"too old|not from"):
            verify(secret, changed, body)
