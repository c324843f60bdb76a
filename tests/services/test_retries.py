"""The budget for retries."""

from services.retries import RESERVE, SHARE, RetryBudget


def test_an_outage_is_met_with_no_more_retries_than_were_saved_and_a_tenth_of_the_calls() -> None:
    budget, calls, retries = RetryBudget(), 1_000, 0

    for _ in range(calls):
        budget.note_call()
        retries += budget.take()

    assert RESERVE <= retries <= RESERVE + SHARE * calls


def test_what_is_not_used_is_not_saved_without_end() -> None:
    budget = RetryBudget()
    for _ in range(1_000):
        budget.note_call()

    assert sum(budget.take() for _ in range(100)) == RESERVE
