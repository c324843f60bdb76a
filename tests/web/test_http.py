"""GraphQL over HTTP, as others judge it."""

from pathlib import Path

from tests.web.node import built, run

AUDITS = 61  # MUST, SHOULD and MAY


def test_every_audit_of_graphql_over_http_passes(parley_url: str, tmp_path: Path) -> None:
    assert run(built("http", tmp_path), PARLEY_URL=parley_url) >= AUDITS


def test_streams_and_registered_documents_work_with_the_clients_that_made_them(parley_url: str, tmp_path: Path) -> None:
    assert run(built("streams", tmp_path), PARLEY_URL=parley_url) == 3
