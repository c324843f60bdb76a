"""What docs/security.md promises is shown by tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", PAGE)
# The tables of promises have a column of tests; that of settings has none.
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`PARLEY_" not in line.split("|")[2]]


def test_every_test_that_is_named_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in NAMED
        if not re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]

    assert NAMED
    assert missing == []


def test_every_promise_names_a_test() -> None:
    promises = [row for row in ROWS if not row.startswith(("| line ", "| promise ", "| question ", "| what "))]

    assert len(promises) > 40
    assert [row for row in promises if "::test_" not in row] == []
