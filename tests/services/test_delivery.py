"""The status of a message follows from those who are the farthest behind."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.delivery import DeliveryStatus, Floor

users = st.sampled_from("abcde")
places = st.integers(1, 12)


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody whose markers stand at the joining at least."""

    joined: int
    delivered: int
    read: int


members = st.dictionaries(
    users, st.lists(places, min_size=3, max_size=3).map(lambda three: Member(min(three), max(three), sorted(three)[1]))
)


def recounted(known: dict[str, Member], sequence: int, sender: str) -> DeliveryStatus:
    """Return the status as it is defined, looking at everybody."""
    others = [member for user, member in known.items() if user != sender and member.joined < sequence]
    if others and all(member.read >= sequence for member in others):
        return DeliveryStatus.READ
    if others and all(member.delivered >= sequence for member in others):
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.SENT


@given(known=members, sequence=places, sender=users)
def test_the_floor_says_what_a_look_at_everybody_says(known: dict[str, Member], sequence: int, sender: str) -> None:
    floor = Floor.of((user, member.delivered, member.read, member.joined) for user, member in known.items())

    assert floor.status_of(sequence, sender) is recounted(known, sequence, sender)
