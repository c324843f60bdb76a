"""What the code must not do, and what the documents must say."""

import re
from pathlib import Path

from services.config import Settings

ROOT = Path(__file__).parents[2]


def test_no_document_is_written_by_an_engine_that_overwrites() -> None:
    # ODMantic's `engine.save()` upserts: on an equal `_id` it silently replaces what another process wrote.
    sources = [path for room in ("services", "loaders", "resolvers", "parley") for path in (ROOT / room).rglob("*.py")]
    users = [path.name for path in sources if re.search(r"AIOEngine|SyncEngine|\.save\(", path.read_text())]

    assert users == []


def test_every_setting_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()

    missing = [name for name in Settings.model_fields if f"`PARLEY_{name.upper()}`" not in readme]

    assert missing == []
