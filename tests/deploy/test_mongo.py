"""The script that shards MongoDB: it knows every collection, and where a time lies among ids."""

import re
import subprocess
from datetime import UTC, datetime

from services import ids
from tests.deploy.programs import ROOT

SCRIPT = ROOT / "deploy/mongo/shard.js"
TEXT = SCRIPT.read_text()


def listed(name: str) -> list[str]:
    (found,) = re.findall(rf"const {name} = \[(.*?)\];", TEXT, re.DOTALL)
    return re.findall(r'"(\w+)"', found)


def node(code: str) -> str:
    done = subprocess.run(
        [ROOT / "tools/node.sh", "node", "--eval", code], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def test_every_collection_is_sharded_or_said_not_to_be() -> None:
    code = "\n".join(path.read_text() for room in ("services", "parley") for path in (ROOT / room).glob("*.py"))
    used = {
        *re.findall(r'database\["(\w+)"\]', code),
        *re.findall(r'^(?:COLLECTION|_?[A-Z_]*COLLECTION): Final = "(\w+)"', code, re.MULTILINE),
        *re.findall(r'ODMConfigDict\(collection="(\w+)"', code),
    }

    assert {"entries", "users", "audit", "sessions"} <= used
    assert sorted(used) == sorted([*listed("SHARDED"), *listed("ELSEWHERE")])


def test_the_border_of_a_zone_lies_between_ids_of_before_and_after() -> None:
    (function,) = re.findall(r"^const CROCKFORD.*?^}$", TEXT, re.DOTALL | re.MULTILINE)
    border = node(f'{function}\nconsole.log(firstKey("2026-01-01T00:00:00.000Z"))')
    before = ids.id_at("cnv", datetime(2025, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC), b"\xff" * 10)
    after = ids.id_at("cnv", datetime(2026, 1, 1, tzinfo=UTC), b"\x00" * 10)

    assert before < border <= after


def test_the_script_is_one() -> None:
    subprocess.run([ROOT / "tools/node.sh", "node", "--check", SCRIPT], check=True, timeout=30)
