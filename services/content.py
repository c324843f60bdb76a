"""What a message may hold, and in which form it is stored: text, names in it, attachments, emoji, reasons."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

import emoji

from services import handles

BODY_CHARACTERS = 10_000
BODY_BYTES = 32_768
TITLE_CHARACTERS = 200
MENTIONS = 50
ATTACHMENTS = 10
NAME_CHARACTERS = 255
URL_CHARACTERS = 2_048
LARGEST_SIZE_BYTES = 2**31 - 1  # what GraphQL's Int can say
REASON_CHARACTERS = 1_000
NOTE_CHARACTERS = 1_000

# Not after a letter, so that the domain of an e-mail address names nobody.
_NAME = re.compile(r"(?<![\w@.])@([a-z0-9_.]{2,32})(?![a-z0-9_@])", re.IGNORECASE | re.ASCII)
_MEDIA_TYPE_PART = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_MEDIA_TYPE_PART}/{_MEDIA_TYPE_PART}", re.IGNORECASE | re.ASCII)


def valid_body(body: str) -> str:
    """Return the body as it is stored: NFC, 1 to 10 000 code points, at most 32 768 bytes, not only white space.

    Raises:
        ValueError: it is anything else.
    """
    text = unicodedata.normalize("NFC", body)
    if not text.strip():
        raise ValueError("A message cannot be empty.")
    if "\x00" in text:
        raise ValueError("A message cannot hold the null character.")
    if len(text) > BODY_CHARACTERS or len(text.encode()) > BODY_BYTES:
        raise ValueError(f"A message has at most {BODY_CHARACTERS} characters and {BODY_BYTES} bytes.")
    return text


def valid_title(title: str) -> str:
    """Return a conversation's title as it is stored.

    Raises:
        ValueError: it is empty, too long, or has characters that cannot be shown.
    """
    text = unicodedata.normalize("NFC", title).strip()
    if not 1 <= len(text) <= TITLE_CHARACTERS or not text.isprintable():
        raise ValueError(f"A title has 1 to {TITLE_CHARACTERS} printable characters.")
    return text


def names_in(body: str) -> list[tuple[str, ...]]:
    """Return the first 50 different names after an `@`: for each the handles that it may mean, the likeliest first.

    A handle may end with a full stop, and so may a sentence.
    """
    found: dict[tuple[str, ...], None] = {}
    for match in _NAME.finditer(body):
        name = match[1].lower()
        forms = dict.fromkeys((name, name.rstrip(".")))
        found[tuple(form for form in forms if handles.normalised(form) == form)] = None
        if len(found) == MENTIONS:
            break
    return list(found)


def valid_file_name(text: str) -> str:
    """Return a file's name as it is stored.

    Raises:
        ValueError: it is empty, too long, or has characters that cannot be shown.
    """
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable() or not name.strip():
        raise ValueError(f"A file's name has 1 to {NAME_CHARACTERS} printable characters.")
    return name


def valid_file_url(url: str) -> str:
    """Return a file's address.

    Raises:
        ValueError: clients could not open it, or not all of them alike.
    """
    if not is_web_address(url):
        raise ValueError(f"A file's address begins with https:// and has at most {URL_CHARACTERS} characters.")
    return url


def valid_picture(url: str) -> str:
    """Return a picture's address. Raises as `valid_file_url` does."""
    if not is_web_address(url):
        raise ValueError(f"A picture has an https address of at most {URL_CHARACTERS} characters.")
    return url


def valid_media_type(text: str) -> str:
    """Return a media type as it is stored.

    Raises:
        ValueError: it is none.
    """
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError("A media type is like `image/png`.")
    return text.lower()


def valid_size(size_bytes: int) -> int:
    """Return a file's size.

    Raises:
        ValueError: it is negative, or more than clients can be told.
    """
    if not 0 <= size_bytes <= LARGEST_SIZE_BYTES:
        raise ValueError("A file's size is not negative.")
    return size_bytes


def is_web_address(url: str, schemes: Sequence[str] = ("https",)) -> bool:
    """Whether it is an https address that every client reads alike: ASCII, no spaces, a host, no password."""
    if len(url) > URL_CHARACTERS or not url.isascii() or not url.isprintable() or {*' \\"<>'} & {*url}:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False


def valid_emoji(text: str) -> str:
    """Return the form in which this emoji is stored, the same for all ways to write it.

    Raises:
        ValueError: it is not exactly one emoji.
    """
    data = emoji.EMOJI_DATA.get(text)
    form = data and _full_forms().get(data["en"])
    if not form:
        raise ValueError("A reaction is one emoji.")
    return form


@cache
def _full_forms() -> dict[str, str]:
    """Return the fully qualified form of each emoji by its name; parts of others, as a skin colour alone, have none."""
    full = emoji.STATUS["fully_qualified"]
    return {data["en"]: form for form, data in emoji.EMOJI_DATA.items() if data["status"] == full}


def valid_reason(text: str) -> str:
    """Return a report's reason as it is stored.

    Raises:
        ValueError: it is empty or too long.
    """
    reason = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(reason) <= REASON_CHARACTERS or "\x00" in reason:
        raise ValueError(f"A reason has 1 to {REASON_CHARACTERS} characters.")
    return reason


def valid_note(text: str) -> str | None:
    """Return an operator's note as it is stored; None where nothing is in it.

    Raises:
        ValueError: it is too long.
    """
    note = unicodedata.normalize("NFC", text).strip()
    if len(note) > NOTE_CHARACTERS or "\x00" in note:
        raise ValueError(f"A note has at most {NOTE_CHARACTERS} characters.")
    return note or None
