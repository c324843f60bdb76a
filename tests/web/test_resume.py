"""The resume helper and the store of the messenger: their tests run in Node.js, here is what they run on."""

import re
from pathlib import Path

import pytest

from tests.stack_process import StackProcess
from tests.web.node import ROOT, WEB, built, run

EXAMPLES = WEB / "src" / "resume" / "examples"


@pytest.fixture(scope="module")
def resume_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("resume", tmp_path_factory.mktemp("node"))


@pytest.mark.parametrize("name", ["every client ", "after a gap "])
def test_clients_resume_although_the_api_dies_and_read_again_what_cannot_be_replayed(
    name: str, resume_test: Path, mortal: StackProcess
) -> None:
    run(
        resume_test,
        f"--test-name-pattern=^{name}",
        PARLEY_URL=mortal.urls[0],
        PARLEY_RUN_FILE=str(mortal.directory / "run.json"),
    )


@pytest.mark.parametrize("name", ["positions", "state"])
def test_rules_hold_without_an_api(name: str, tmp_path: Path) -> None:
    run(built(name, tmp_path))


def test_the_documentation_shows_the_code_that_is_tested() -> None:
    page = (ROOT / "docs" / "resume.md").read_text()
    shown = re.findall(r"^```ts\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    for example in sorted(EXAMPLES.iterdir()):
        assert example.read_text() in shown, f"docs/resume.md does not show {example.name} as it is"
    assert len(shown) == len(list(EXAMPLES.iterdir()))
