"""The Kafka topics of Parley, and how many partitions each is made with."""

from typing import Final

EVENTS: Final = "parley.events"  # every entry of every log, by conversation
DEAD_LETTERS: Final = "parley.dead-letters"  # events that a job could not take
TRACKING: Final = "parley.tracking"  # product events of front ends, by user
PARTITIONS: Final = {EVENTS: 8, DEAD_LETTERS: 1, TRACKING: 2}
