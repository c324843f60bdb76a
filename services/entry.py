"""What all entries of a log have in common: their place, who made them and when, and a link to what decides.

An entry's `_id` is `<conversation>:<sequence>`, so a page of the log is one range of ids. Each entry names in `control`
the newest entry before it that changed who may do what: following these links from the head gives a conversation's
state without reading what was said in between.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

DIGITS = 12
MAX_SEQUENCE = 10**DIGITS - 1


def entry_id(conversation_id: str, sequence: int) -> str:
    """Return the `_id` of a place in a log; the order of these strings is the order of the log."""
    return f"{conversation_id}:{sequence:0{DIGITS}d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fact of a conversation."""

    kind: ClassVar[str]
    is_control: ClassVar[bool] = False  # whether it changes who may do what

    conversation_id: str
    sequence: int
    key: str  # who made it and under which id of theirs: equal keys are the same fact
    actor_id: str
    at: datetime
    control: int  # sequence of the newest control entry before this one, 0 where there is none

    def payload(self) -> dict[str, Any]:
        """Return what is special to this kind, as it is stored."""
        raise NotImplementedError

    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments that are special to this kind."""
        raise NotImplementedError

    @property
    def newest_control(self) -> int:
        """The sequence of the newest control entry up to and including this one."""
        return self.sequence if self.is_control else self.control
