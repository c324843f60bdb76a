"""The names that people and devices go by: which are allowed, and the one form in which each is stored and compared."""

import re
import unicodedata

# Only ASCII is left after normalisation, so no letter of another script can be taken for one of these.
_SHAPE = re.compile("[a-z0-9_.]{2,32}")
_DISPLAY_NAME_LENGTH = 64
_DEVICE_LENGTH = 100
# Controls, surrogates and line ends, and the marks that turn the direction of the text around them.
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_CONTROL_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})

# They would speak for the service or to a whole conversation: only somebody named in PARLEY_OPERATORS has one of them.
RESERVED = frozenset(
    {"admin", "all", "deleted", "everyone", "here", "moderator", "operator", "parley", "support", "system"}
)


def folded(text: str) -> str:
    """Return a handle, or a part of one, as it is compared."""
    return unicodedata.normalize("NFKC", text).lower()


def normalised(handle: str) -> str | None:
    """Return the stored form of a handle as somebody typed it, or None if nobody can have it."""
    form = folded(handle)
    return form if _SHAPE.fullmatch(form) else None


def valid(handle: str) -> str:
    """Return the stored form of a handle.

    Raises:
        ValueError: nobody can have it.
    """
    form = normalised(handle)
    if form is None:
        raise ValueError("A handle has 2 to 32 of the characters a-z, 0-9, _ and .")
    return form


def display_name(text: str) -> str:
    """Return the stored form of a display name.

    Raises:
        ValueError: it is empty, too long, or has characters that would disturb the text around it.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        raise ValueError("The display name must have a visible character.")
    if len(name) > _DISPLAY_NAME_LENGTH:
        raise ValueError(f"The display name must have at most {_DISPLAY_NAME_LENGTH} characters.")
    if any(map(_is_control, name)):
        raise ValueError("The display name must not have control characters.")
    return name


def device(text: str | None) -> str | None:
    """Return the stored form of a device's name: it is for its owner's eyes only, so it is cut, never refused."""
    name = "".join(character for character in text or "" if not _is_control(character))
    return unicodedata.normalize("NFC", name).strip()[:_DEVICE_LENGTH] or None


def _is_control(character: str) -> bool:
    return (
        unicodedata.category(character) in _CONTROL_CATEGORIES
        or unicodedata.bidirectional(character) in _CONTROL_DIRECTIONS
    )
