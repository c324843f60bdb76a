"""Cursors: opaque names of a position in a conversation's log, valid on every instance, after any restart.

A cursor holds a version, the conversation, the epoch of the stored logs and a sequence; no state of any process. The
epoch changes when the logs were restored from a backup, because then the same sequence may name another entry.
"""

import base64
import binascii
import struct
from functools import lru_cache
from typing import NamedTuple

from ulid import ULID

from services.errors import BadUserInput

_LAYOUT = struct.Struct(">B16sIQ")
_VERSION = 1


class Position(NamedTuple):
    conversation_id: str
    epoch: int
    sequence: int

    def cursor(self) -> str:
        """Return the position as clients hold it: 39 URL-safe characters."""
        packed = _LAYOUT.pack(_VERSION, _key(self.conversation_id), self.epoch, self.sequence)
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


@lru_cache(4_096)  # a page has a cursor for each message, all of one conversation
def _key(conversation_id: str) -> bytes:
    return ULID.from_str(conversation_id.removeprefix("cnv_").upper()).bytes


def position(cursor: str, argument: str) -> Position:
    """Return the position that a cursor names.

    Raises:
        BadUserInput: it is no cursor of ours.
    """
    try:
        # 29 bytes: base64 wants one "=", which a cursor does not carry.
        packed = base64.b64decode(cursor.encode("ascii") + b"=", altchars=b"-_", validate=True)
        version, key, epoch, sequence = _LAYOUT.unpack(packed)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        version = 0
    if version != _VERSION:
        raise BadUserInput(f"`{argument}` is not a cursor.")
    return Position(f"cnv_{str(ULID.from_bytes(key)).lower()}", epoch, sequence)


def sequence_in(cursor: str, conversation_id: str, argument: str) -> int:
    """Return the sequence of a cursor that must belong to this conversation.

    Raises:
        BadUserInput: it is no cursor, or one of another conversation.
    """
    place = position(cursor, argument)
    if place.conversation_id != conversation_id:
        raise BadUserInput(f"`{argument}` is a cursor of another conversation.")
    return place.sequence
