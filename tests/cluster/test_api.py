"""What goes through Redis on its way to people, on a cluster; `PARLEY_TEST_REDIS=cluster` runs all of tests/api so."""

from tests.api.test_cache import (
    local,
    reads,
    test_a_process_that_knows_nothing_of_a_conversation_reads_it_from_redis,
    test_the_recent_messages_cost_no_read_of_mongodb,
)
from tests.api.test_inbox import *  # noqa: F403
from tests.api.test_live_sessions import test_an_ended_session_is_refused_on_both_processes_within_a_second
from tests.api.test_presence import (
    test_a_user_is_as_present_as_the_most_present_device,
    test_everybody_may_share_nothing_with_anybody,
    test_the_first_socket_and_the_end_of_the_last_are_told_everywhere,
)
from tests.api.test_receipts import (
    test_each_member_s_receipts_come_before_caught_up_and_then_as_they_move,
    test_markers_raced_from_two_processes_end_at_the_farthest,
)
from tests.api.test_typing import (
    test_the_set_is_told_to_the_other_process_and_ends_by_itself,
    test_typing_false_and_a_message_end_it,
)

__all__ = [
    "local",
    "reads",
    "test_a_process_that_knows_nothing_of_a_conversation_reads_it_from_redis",
    "test_a_user_is_as_present_as_the_most_present_device",
    "test_an_ended_session_is_refused_on_both_processes_within_a_second",
    "test_each_member_s_receipts_come_before_caught_up_and_then_as_they_move",
    "test_everybody_may_share_nothing_with_anybody",
    "test_markers_raced_from_two_processes_end_at_the_farthest",
    "test_the_first_socket_and_the_end_of_the_last_are_told_everywhere",
    "test_the_recent_messages_cost_no_read_of_mongodb",
    "test_the_set_is_told_to_the_other_process_and_ends_by_itself",
    "test_typing_false_and_a_message_end_it",
]
