"""Programs that only tests of deploy/ need: where one is missing its tests are skipped, but on CI they fail."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(name: str) -> str:
    """Return where a program is, in .tools or on the path (root's own programs are not on everybody's)."""
    places = os.pathsep.join(
        [
            *(str(ROOT / f".tools/{group}/bin") for group in ("lint", "docs")),
            os.environ.get("PATH", ""),
            "/usr/sbin",
            "/sbin",
        ]
    )
    found = shutil.which(name, path=places)
    if found is None:
        reason = f"there is no {name}; `make tools` installs it where that is possible"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
