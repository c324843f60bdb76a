"""Which media type an answer has: what the client's `Accept` prefers of those that there are (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

JSON_TYPE: Final = "application/json"
RESPONSE_TYPE: Final = "application/graphql-response+json"
EVENT_STREAM_TYPE: Final = "text/event-stream"
LONGEST_ACCEPT: Final = 2_000  # characters; of a longer header nothing is believed

_EXACT: Final = 3
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the type that a client likes best; None where it takes none of them.

    Args:
        accept: The header, None where there is none.
        offered: What there is. Of types that a client names and likes equally it is the first, else the last, which
            suits everybody.
    """
    if accept is None or not accept.strip():
        return offered[-1]
    if len(accept) > LONGEST_ACCEPT:
        return None
    return _preferred(accept, tuple(offered))


@lru_cache(256)
def _preferred(accept: str, offered: Sequence[str]) -> str | None:
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    best, best_rank = None, (0.0, 0)
    for media_type in offered:
        # Of several ranges that fit, the most exact one counts.
        fits = [(exactness, quality) for name, quality in ranges if (exactness := _fits(name, media_type))]
        exactness, quality = max(fits, default=(0, 0.0))
        rank = (quality, exactness)
        if quality > 0 and (rank > best_rank or (rank == best_rank and exactness < _EXACT)):
            best, best_rank = media_type, rank
    return best


def _fits(name: str, media_type: str) -> int:
    """Return how exactly a range names a type; 0 where it does not."""
    if name == media_type:
        return _EXACT
    if name == f"{media_type.partition('/')[0]}/*":
        return 2
    return 1 if name in {"*/*", "*"} else 0


def _range(part: str) -> tuple[str, float]:
    """Return a range of types and how much it is liked; one that cannot be read is not liked at all."""
    name, *parameters = (text.strip().lower() for text in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            quality = float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return name, quality


@lru_cache(64)
def is_json(content_type: str) -> bool:
    """Whether a body is declared as JSON in UTF-8."""
    name, *parameters = (text.strip().lower() for text in content_type.split(";"))
    charsets = [value.strip(' "') for key, _, value in (text.partition("=") for text in parameters) if key == "charset"]
    return name == JSON_TYPE and all(charset in {"utf-8", "utf8"} for charset in charsets)
