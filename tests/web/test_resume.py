"""The resume helper and the store of the messenger: their tests run in Node.js, here is what they run on."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack_process import StackProcess, running_stack
from tests.web.node import ROOT, WEB, built, run

EXAMPLES = WEB / "src" / "resume" / "examples"


@pytest.fixture(scope="module")
def resume_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("resume", tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley whose API process these tests kill."""
    with running_stack(tmp_path_factory.mktemp("mortal") / "parley", replicas=1) as stack:
        yield stack


@pytest.mark.parametrize("client", ["graphql-ws", "apollo", "urql", "relay"])
def test_a_client_gets_every_entry_once_and_in_order_although_the_api_dies(
    client: str, resume_test: Path, mortal: StackProcess
) -> None:
    run(
        resume_test,
        f"--test-name-pattern=^{client} ",
        PARLEY_URL=mortal.urls[0],
        PARLEY_RUN_FILE=str(mortal.directory / "run.json"),
    )


def test_what_cannot_be_replayed_is_read_again_before_anything_later_is_told(
    resume_test: Path, mortal: StackProcess
) -> None:
    run(
        resume_test,
        "--test-name-pattern=^after a gap ",
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
