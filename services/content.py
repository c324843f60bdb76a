"""What a message may hold, and in which form it is stored: text, names in it, attachments, emoji, reasons."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

import emoji

from services import handles
from services.errors import InvalidInput
from services.message_state import Attachment

BODY_CHARACTERS = 10_000
BODY_BYTES = 32_768
MENTIONS = 50
ATTACHMENTS = 10
NAME_CHARACTERS = 255
URL_CHARACTERS = 2_048
LARGEST_SIZE_BYTES = 2**31 - 1  # what GraphQL's Int can say
REASON_CHARACTERS = 1_000

_BODY = ("input", "body")
# Not after a letter, so that the domain of an e-mail address names nobody.
_NAME = re.compile(r"(?<![\w@.])@([a-z0-9_.]{2,32})(?![a-z0-9_@])", re.IGNORECASE | re.ASCII)
_MEDIA_TYPE_PART = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_MEDIA_TYPE_PART}/{_MEDIA_TYPE_PART}", re.IGNORECASE | re.ASCII)


def valid_body(body: str) -> str:
    """Return the body as it is stored: NFC, 1 to 10 000 code points, at most 32 768 bytes, not only white space.

    Raises:
        InvalidInput: it is anything else.
    """
    try:
        text = unicodedata.normalize("NFC", body)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput("A message is Unicode text without lone surrogates.", _BODY) from None
    if not text.strip():
        raise InvalidInput("A message cannot be empty.", _BODY)
    if "\x00" in text:
        raise InvalidInput("A message cannot hold the null character.", _BODY)
    if len(text) > BODY_CHARACTERS or size > BODY_BYTES:
        raise InvalidInput(f"A message has at most {BODY_CHARACTERS} characters and {BODY_BYTES} bytes.", _BODY)
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


def valid_attachments(attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """Return the attachments as they are stored.

    Raises:
        InvalidInput: there are more than 10, or one cannot be shown by a client.
    """
    if len(attachments) > ATTACHMENTS:
        raise InvalidInput(f"A message has at most {ATTACHMENTS} attachments.", ("input", "attachments"))
    return tuple(_valid_attachment(attachment, str(index)) for index, attachment in enumerate(attachments))


def _valid_attachment(attachment: Attachment, index: str) -> Attachment:
    path = ("input", "attachments", index)
    name = unicodedata.normalize("NFC", attachment.name)
    if not 1 <= len(name) <= NAME_CHARACTERS or not name.isprintable() or not name.strip():
        raise InvalidInput(f"A file's name has 1 to {NAME_CHARACTERS} printable characters.", (*path, "name"))
    if not is_web_address(attachment.url):
        raise InvalidInput(
            f"A file's address begins with https:// and has at most {URL_CHARACTERS} characters.", (*path, "url")
        )
    if not _MEDIA_TYPE.fullmatch(attachment.media_type):
        raise InvalidInput("A media type is like `image/png`.", (*path, "mediaType"))
    if not 0 <= attachment.size_bytes <= LARGEST_SIZE_BYTES:
        raise InvalidInput("A file's size is not negative.", (*path, "sizeBytes"))
    return Attachment(
        name=name, url=attachment.url, media_type=attachment.media_type.lower(), size_bytes=attachment.size_bytes
    )


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
        InvalidInput: it is not exactly one emoji.
    """
    data = emoji.EMOJI_DATA.get(text)
    form = data and _full_forms().get(data["en"])
    if not form:
        raise InvalidInput("A reaction is one emoji.", ("input", "emoji"))
    return form


@cache
def _full_forms() -> dict[str, str]:
    """Return the fully qualified form of each emoji by its name; parts of others, as a skin colour alone, have none."""
    full = emoji.STATUS["fully_qualified"]
    return {data["en"]: form for form, data in emoji.EMOJI_DATA.items() if data["status"] == full}


def valid_reason(text: str) -> str:
    """Return a report's reason as it is stored.

    Raises:
        InvalidInput: it is empty or too long.
    """
    reason = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(reason) <= REASON_CHARACTERS or "\x00" in reason or not _is_encodable(reason):
        raise InvalidInput(f"A reason has 1 to {REASON_CHARACTERS} characters.", ("input", "reason"))
    return reason


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
