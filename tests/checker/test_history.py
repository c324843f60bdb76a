import time
from pathlib import Path
from random import Random

from tests.checker.history import Closed, History
from tests.checker.sample import Sample


def test_a_written_history_is_read_back_equal(tmp_path: Path) -> None:
    history = History(Sample(Random(1)).run(200))
    history.write(tmp_path / "history.jsonl")

    assert History.read(tmp_path / "history.jsonl").records == history.records


def test_a_record_takes_its_time_when_it_is_made() -> None:
    before = time.monotonic_ns()
    history = History()
    history.add(Closed(connection="1", code=1012))

    assert before <= history.records[0].at <= time.monotonic_ns()
