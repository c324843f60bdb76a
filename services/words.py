"""The words of a text, as search compares them: without case, accents or width.

Scripts that put no spaces between words are cut into pairs of neighbouring characters: whoever looks for some of them
in a row looks for their pairs in a row.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

WORD_CHARACTERS: Final = 64  # of a longer run these are compared

_RUN: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]+)"
)
_PHRASE: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    plain = unicodedata.normalize("NFC", "".join(mark for mark in folded if not unicodedata.combining(mark)))
    return [word for run in _RUN.findall(plain) for part in _UNSPACED.split(run) if part for word in _cut(part)]


def phrases_of(query: str) -> list[list[str]]:
    """Return what a text must have to be found: the words of each part of a query, or in quotation marks, in a row."""
    found = (words_of(quoted or plain) for quoted, plain in _PHRASE.findall(query))
    return [list(words) for words in dict.fromkeys(tuple(words) for words in found if words)]


def has_phrases(words: Sequence[str], phrases: Sequence[Sequence[str]]) -> bool:
    """Whether all phrases are among these words."""
    line = f" {' '.join(words)} "
    return all(f" {' '.join(phrase)} " in line for phrase in phrases)


def _cut(part: str) -> list[str]:
    if not _UNSPACED.fullmatch(part):
        return [part[:WORD_CHARACTERS]]
    return [part[at : at + 2] for at in range(len(part) - 1)] or [part]
