"""Identifiers: a type's prefix and 26 characters of a ULID in lower case, so that ids sort by the time they were made.

Some carry the key of what they belong to, because the store reads by `_id` and by ranges of it only: a session's id
begins with its user's, a message's with its conversation's. Clients treat all of them as opaque.
"""

import hashlib
import re
from datetime import datetime

from ulid import ULID

_KEY = "[0-9a-hjkmnp-tv-z]{26}"
_SHAPES = {
    "usr": re.compile(f"usr_{_KEY}"),
    "cnv": re.compile(f"cnv_{_KEY}"),
    "ses": re.compile(f"ses_{_KEY}_{_KEY}"),
    "pep": re.compile(f"pep_{_KEY}_{_KEY}"),
    "msg": re.compile(f"msg_{_KEY}_[0-9]{{12}}"),
    "rep": re.compile(f"rep_{_KEY}"),
    "aud": re.compile(f"aud_{_KEY}"),
    "alr": re.compile(f"alr_{_KEY}"),
}


def new_id(prefix: str) -> str:
    """Return a new id such as `usr_01k…`."""
    return f"{prefix}_{str(ULID()).lower()}"


def id_at(prefix: str, time: datetime, chance: bytes) -> str:
    """Return the id of something that came to be at a time; of equal times the ten bytes of chance decide."""
    milliseconds = int(time.timestamp() * 1_000)
    return f"{prefix}_{str(ULID.from_bytes(milliseconds.to_bytes(6) + chance)).lower()}"


def derived_id(prefix: str, *parts: str) -> str:
    """Return the id that is always the same for the same parts."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return f"{prefix}_{str(ULID.from_bytes(digest[:16])).lower()}"


def user() -> str:
    """Return the id of a new user."""
    return new_id("usr")


def session(user_id: str) -> str:
    """Return the id of a new session; all sessions of one user are one range of ids."""
    return f"ses_{user_id.removeprefix('usr_')}_{str(ULID()).lower()}"


def push_endpoint(user_id: str, url: str) -> str:
    """Return the id of a user's push endpoint; the same address has the same."""
    return f"pep_{user_id.removeprefix('usr_')}_{derived_id('pep', user_id, url).removeprefix('pep_')}"


def push(user_id: str, conversation_id: str, sequence: int) -> str:
    """Return the id of what tells a user of a message, however often it is sent and to how many endpoints."""
    return derived_id("psh", user_id, conversation_id, str(sequence))


def message(conversation_id: str, sequence: int) -> str:
    """Return the id of the message that stands at a place in the log."""
    return f"msg_{conversation_id.removeprefix('cnv_')}_{sequence:012d}"


def message_place(message_id: str) -> tuple[str, int]:
    """Return the conversation and sequence that a well-formed message id names."""
    _, conversation, sequence = message_id.split("_")
    return f"cnv_{conversation}", int(sequence)


def kind(value: str) -> str | None:
    """Return the prefix of a well-formed id, or None for anything else."""
    prefix = value[:3]
    shape = _SHAPES.get(prefix)
    return prefix if shape and shape.fullmatch(value) else None
