"""A short fault run, as `make chaos` runs long ones."""

from pathlib import Path

import pytest

from tests.chaos import campaign, page
from tests.chaos.schedule import KINDS, plan


def test_the_seed_alone_decides_the_plan_and_every_kind_comes_before_any_comes_again() -> None:
    faults = plan(7, faults=len(KINDS), seconds=240)

    assert faults == plan(7, faults=len(KINDS), seconds=240)
    assert faults != plan(8, faults=len(KINDS), seconds=240)
    assert len({fault.label for fault in faults}) == len(KINDS)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert max(fault.at + fault.seconds for fault in faults) < 240


@pytest.mark.slow
async def test_a_minute_with_five_faults_breaks_no_promise(tmp_path: Path) -> None:
    kinds = ("kill api", "kill mongo", "stop redis", "cut answers", "two")
    wish = campaign.Wish(seed=1, faults=5, seconds=60.0, clients=20, rooms=3, rate=4.0, kinds=kinds, is_quick=True)

    outcome = await campaign.run(wish, tmp_path / "data", print)

    campaign.save(outcome, tmp_path)
    assert [found for found in outcome.report.violations if found.kind != "late"] == [], page.verdict(outcome)
    assert outcome.failures == []
    assert outcome.report.acknowledged > 50
    assert outcome.report.deliveries > 500
    assert "<svg" in page.page(outcome)
