"""The clients of docs/clients/: what the pages show runs in Node.js, against the API."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.config import Settings
from services.tokens import open_tokens
from tests.stack_process import StackProcess
from tests.web.node import ROOT, WEB, built, run

PAGES = ROOT / "docs" / "clients"
CLIENTS = ["apollo", "graphql-ws", "relay", "urql"]
REGION = re.compile(r"^//#region .*?\n(.*?)^//#endregion$", re.MULTILINE | re.DOTALL)


def expired_token(stack: StackProcess) -> str:
    """Return a token that was good an hour ago."""
    settings = Settings(
        mongo_url="mongodb://127.0.0.1:1",
        redis_url="redis://127.0.0.1:1",
        kafka_url="127.0.0.1:1",
        embedded=True,
        data=stack.directory,
    )
    then = datetime.now(UTC) - timedelta(seconds=settings.access_token_seconds + 3600)
    return open_tokens(settings).issue(user_id="usr_1", session_id="ses_1", roles=[], now=then)[0]


def test_every_client_renews_its_token_pages_resumes_and_says_what_is_wrong(
    stack: StackProcess, tmp_path: Path
) -> None:
    test = built("clients", tmp_path)

    assert run(test, PARLEY_URL=stack.urls[0], EXPIRED_TOKEN=expired_token(stack)) == len(CLIENTS)


def shown(page: Path) -> list[str]:
    return re.findall(r"^```ts\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_page_of_a_client_shows_the_code_that_is_tested(client: str) -> None:
    code = (WEB / "src" / "clients" / f"{client}.ts").read_text()

    assert shown(PAGES / f"{client}.md") == REGION.findall(code)


def test_the_session_that_clients_share_is_shown_as_it_is_tested() -> None:
    assert shown(PAGES / "session.md") == [(WEB / "src" / "clients" / "session.ts").read_text()]


def test_there_is_a_page_for_each_client() -> None:
    assert sorted(page.stem for page in PAGES.iterdir()) == sorted([*CLIENTS, "session"])
    assert sorted(path.stem for path in (WEB / "src" / "clients").glob("*.ts")) == sorted([*CLIENTS, "session"])
