"""RFC 6455 frames as a server reads and writes them; it never touches a socket, a task or a clock.

Bytes go in as they arrive, in any pieces, and whole messages come out. What comes out is bounded: a message over the
limit is given up as soon as its length is announced. Extensions are never negotiated, so a reserved bit is a violation.
"""

import struct
from dataclasses import dataclass

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled module for this platform
    from websockets.utils import apply_mask

MESSAGE_BYTES = 256 * 1024
HEAD_BYTES = 2 * 1024  # of a message over the limit; enough to find the id of its operation
CONTROL_BYTES = 125  # a control frame's payload

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _RESERVED, _OPCODE, _CONTROL, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x08, 0x80, 0x7F
_MASK_BYTES = 4


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message; whether it is UTF-8 has not been looked at."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary message begins; nothing is read after it."""


@dataclass(frozen=True, slots=True)
class Oversized:
    """A text message over 256 KiB begins like this; nothing is read after it."""

    head: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer it with a pong of the same content."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """The client closes, with a code or without; nothing is read after it. Answer with a close frame like it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """The client's bytes are no WebSocket frames; nothing is read after them."""

    reason: str


type Event = Text | Binary | Oversized | Ping | Closing | Violation


class _BrokenError(Exception):
    """The frames end here, with this last event."""

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        self.event = event


class Reader:
    """One client's frames."""

    __slots__ = ("_buffer", "_ended", "_message", "_needed")

    def __init__(self) -> None:
        self._buffer: bytearray | None = None  # the beginning of a frame; None while nothing waits
        self._needed = 0  # bytes that the buffer must hold before it is worth another look
        self._message: bytearray | None = None  # the fragments of a message so far; None outside one
        self._ended = False

    def receive(self, data: bytes) -> list[Event]:
        """Take what arrived; whatever it is, this raises nothing."""
        if self._ended:
            return []
        if self._buffer is not None:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data, self._buffer = bytes(self._buffer), None
        events: list[Event] = []
        try:
            position = 0
            while position < len(data):
                end = self._frame(data, position, events)
                if end is None:
                    self._buffer = bytearray(data[position:])
                    self._needed -= position
                    break
                position = end
        except _BrokenError as broken:
            self._ended, self._message = True, None
            events.append(broken.event)
        return events

    def _frame(self, data: bytes, start: int, events: list[Event]) -> int | None:
        """Read the frame at `start`; return where it ends, or None when `_needed` bytes are not there yet."""
        if len(data) < start + 2:
            self._needed = start + 2
            return None
        first, second = data[start], data[start + 1]
        opcode, length, body = first & _OPCODE, second & _LENGTH, start + 2
        self._check(first, second)
        if length > CONTROL_BYTES:
            size = 2 if length == 126 else 8
            if len(data) < body + size:
                self._needed = body + size
                return None
            length = int.from_bytes(data[body : body + size])
            body += size
            if length <= (CONTROL_BYTES if size == 2 else 0xFFFF) or length >> 63:
                raise _BrokenError(Violation("Wrong length of a frame"))
        if opcode == _BINARY:
            raise _BrokenError(Binary())
        mask, body = body, body + _MASK_BYTES
        known = 0 if self._message is None or opcode & _CONTROL else len(self._message)
        is_oversized = known + length > MESSAGE_BYTES
        if is_oversized:
            length = min(length, max(0, HEAD_BYTES - known))
        end = body + length
        if len(data) < end:
            self._needed = end
            return None
        payload = apply_mask(data[body:end], data[mask:body])
        if is_oversized:
            raise _BrokenError(Oversized(bytes(self._message or b"") + payload))
        self._take(opcode, bool(first & _FINAL), payload, events)
        return end

    def _check(self, first: int, second: int) -> None:
        """See that a frame with these first two bytes may come here."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise _BrokenError(Violation("Reserved bits are set"))
        if not second & _MASKED:
            raise _BrokenError(Violation("A frame is not masked"))
        if opcode & _CONTROL:
            if opcode > _PONG:
                raise _BrokenError(Violation("Unknown kind of frame"))
            if not first & _FINAL or second & _LENGTH > CONTROL_BYTES:
                raise _BrokenError(Violation("A control frame is long or fragmented"))
        elif opcode > _BINARY:
            raise _BrokenError(Violation("Unknown kind of frame"))
        elif (opcode == _CONTINUATION) is (self._message is None):
            raise _BrokenError(Violation("A fragment is out of place"))

    def _take(self, opcode: int, is_final: bool, payload: bytes, events: list[Event]) -> None:
        if opcode == _TEXT and is_final:
            events.append(Text(payload))
        elif opcode == _TEXT:
            self._message = bytearray(payload)
        elif opcode == _CONTINUATION:
            assert self._message is not None  # `_check` has seen to it
            self._message += payload
            if is_final:
                events.append(Text(bytes(self._message)))
                self._message = None
        elif opcode == _PING:
            events.append(Ping(payload))
        elif opcode == _CLOSE:
            raise _BrokenError(Closing(payload) if _is_close(payload) else Violation("Malformed close frame"))


def _is_close(payload: bytes) -> bool:
    """Whether a close frame's content is empty, or a code that may be sent and a text (RFC 6455, 7.4)."""
    if not payload:
        return True
    code = int.from_bytes(payload[:2])
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return False
    return len(payload) >= 2 and (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999)


def text(data: bytes) -> bytes:
    """Return the frame of a text message."""
    return _header(_TEXT, len(data)) + data


def pong(data: bytes) -> bytes:
    """Return the answer to a ping."""
    return _header(_PONG, len(data)) + data


def close(code: int, reason: str) -> bytes:
    """Return the frame that closes, given a reason of at most 123 bytes."""
    return closing(code.to_bytes(2) + reason.encode())


def closing(data: bytes) -> bytes:
    """Return the close frame with this content: the answer to a client's."""
    return _header(_CLOSE, len(data)) + data


class SharedText:
    """A text message of which only the beginning differs between its receivers, as far as their frames can share it."""

    __slots__ = ("_headers", "rest")

    def __init__(self, rest: bytes) -> None:
        self.rest = rest
        self._headers: dict[int, bytes] = {}  # by the length of the beginning

    def __len__(self) -> int:
        """Return how many bytes are shared."""
        return len(self.rest)

    def frame(self, head: bytes) -> bytes:
        """Return the frame of the message that begins with `head`."""
        size = len(head)
        header = self._headers.get(size)
        if header is None:
            header = self._headers[size] = _header(_TEXT, size + len(self.rest))
        return header + head + self.rest


def _header(opcode: int, length: int) -> bytes:
    if length <= CONTROL_BYTES:
        return bytes((_FINAL | opcode, length))
    if length <= 0xFFFF:
        return struct.pack("!BBH", _FINAL | opcode, 126, length)
    return struct.pack("!BBQ", _FINAL | opcode, 127, length)
