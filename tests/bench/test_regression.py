"""A comparison of two sets of results says what became dearer, and never overlooks what was lost."""

import json
from pathlib import Path

import pytest

from tests.bench import regression


def kept(directory: Path, *send_us: float, lost: int = 0) -> Path:
    """Write results of runs with these costs of a send, and of one fan-out."""
    directory.mkdir()
    runs = [{"runs": [{"conversations": 1, "cpu_us": {"api": cost}}]} for cost in send_us]
    (directory / "send.jsonl").write_text("\n".join(map(json.dumps, runs)))
    faults = {"lost": lost, "doubled": 0, "disordered": 0, "strange": 0}
    fanout = {"medians": [{"server": "parley", "subscribers": 1_000, "cpu_us": 5.0, **faults}]}
    (directory / "fanout.jsonl").write_text(json.dumps(fanout))
    return directory


def test_medians_within_the_noise_are_no_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, change = kept(tmp_path / "base", 900, 1_000, 9_000), kept(tmp_path / "change", 1, 1_090, 1_090)

    status = regression.main(str(base), str(change))

    assert status == 0
    assert "| a send to one of 1 conversations | 1,000.0 | 1,090.0 | +9.0% |" in capsys.readouterr().out


def test_what_became_dearer_is_named_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = regression.main(str(kept(tmp_path / "base", 1_000)), str(kept(tmp_path / "change", 1_110)))

    assert status == 1
    assert "+11.0% dearer" in capsys.readouterr().out


def test_a_run_that_lost_something_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="faults"):
        regression.main(str(kept(tmp_path / "base", 1)), str(kept(tmp_path / "change", 1, lost=1)))


def test_nothing_in_common_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        regression.main(str(tmp_path), str(kept(tmp_path / "change", 1)))
