"""How far messages have come: what the status of each follows from, however many members there are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest


class DeliveryStatus(StrEnum):
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    READ = "READ"


type Place = tuple[int, str]  # a sequence, and the user who stands there


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Where those stand who are the farthest behind: two of each, because a message's sender does not count."""

    delivered: Sequence[Place]  # the lower one first, as in those below; fewer where there are fewer members
    read: Sequence[Place]
    joined: Sequence[Place]

    @classmethod
    def of(cls, members: Iterable[tuple[str, int, int, int]]) -> "Floor":
        """Return the floor of members: the user, up to where they were delivered, have read, and where they joined."""
        known = list(members)
        return cls(
            delivered=nsmallest(2, ((delivered, user_id) for user_id, delivered, _, _ in known)),
            read=nsmallest(2, ((read, user_id) for user_id, _, read, _ in known)),
            joined=nsmallest(2, ((joined, user_id) for user_id, _, _, joined in known)),
        )

    def status_of(self, sequence: int, sender_id: str) -> DeliveryStatus:
        """Return how far a message has come with all who were in before it, but its sender; SENT where nobody was."""
        if _lowest_but(sender_id, self.joined, otherwise=sequence) >= sequence:
            return DeliveryStatus.SENT
        # Whoever joined after it stands beyond it from the start, and so is in nobody's way.
        if _lowest_but(sender_id, self.read, otherwise=sequence) >= sequence:
            return DeliveryStatus.READ
        if _lowest_but(sender_id, self.delivered, otherwise=sequence) >= sequence:
            return DeliveryStatus.DELIVERED
        return DeliveryStatus.SENT


def _lowest_but(user_id: str, places: Sequence[Place], *, otherwise: int) -> int:
    for sequence, other_id in places:
        if other_id != user_id:
            return sequence
    return otherwise
