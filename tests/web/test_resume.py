"""The resume helper and the store of the messenger: their tests run in Node.js, here is what they run on."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.stack_process import StackProcess

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
NODE = str(ROOT / "tools" / "node.sh")
EXAMPLES = WEB / "src" / "resume" / "examples"
RUN_SECONDS = 240.0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each test is one file that Node.js runs."""
    directory = tmp_path_factory.mktemp("node")
    command = [NODE, "node", "node_modules/vite/bin/vite.js", "build", "--config", "test/vite.config.ts"]
    options = ["--outDir", str(directory), "--logLevel", "error"]
    subprocess.run([*command, *options], cwd=WEB, check=True, timeout=RUN_SECONDS)
    return directory


def _run(test: Path, *options: str, **environment: str) -> None:
    finished = subprocess.run(
        [NODE, "node", "--test", *options, str(test)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"^# pass [1-9]", finished.stdout, re.MULTILINE), finished.stdout


@pytest.mark.parametrize("name", ["every client ", "after a gap "])
def test_clients_resume_although_the_api_dies_and_read_again_what_cannot_be_replayed(
    name: str, built: Path, mortal: StackProcess
) -> None:
    _run(
        built / "resume.test.js",
        f"--test-name-pattern=^{name}",
        PARLEY_URL=mortal.urls[0],
        PARLEY_RUN_FILE=str(mortal.directory / "run.json"),
    )


@pytest.mark.parametrize("name", ["positions", "state"])
def test_rules_hold_without_an_api(name: str, built: Path) -> None:
    _run(built / f"{name}.test.js")


def test_the_documentation_shows_the_code_that_is_tested() -> None:
    page = (ROOT / "docs" / "resume.md").read_text()
    shown = re.findall(r"^```ts\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    for example in sorted(EXAMPLES.iterdir()):
        assert example.read_text() in shown, f"docs/resume.md does not show {example.name} as it is"
    assert len(shown) == len(list(EXAMPLES.iterdir()))
