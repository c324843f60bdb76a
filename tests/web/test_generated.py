"""What is made of the schema for the pages and the clients is as it would be made now, and linters find nothing."""

import subprocess
from pathlib import Path

import pytest

from tests.web.node import NODE, ROOT, RUN_SECONDS, WEB


def judged(directory: Path, program: str, *options: str) -> None:
    """Run a program of the pages' packages, which must be content."""
    finished = subprocess.run(
        [NODE, "node", str(WEB / "node_modules" / program), *options],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, f"{finished.stdout}{finished.stderr}\nIs it new? Run `npm run generate` in web/."


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("@graphql-codegen/cli/esm/bin.js", ["--config", "codegen.ts", "--check"]),
        ("relay-compiler/cli.js", ["relay.config.json", "--validate"]),
    ],
    ids=["the pages' types", "Relay's artifacts"],
)
def test_what_is_made_of_the_schema_is_as_it_would_be_made_now(program: str, options: list[str]) -> None:
    judged(WEB, program, *options)


def test_the_schema_and_the_operations_are_as_linters_want_them() -> None:
    judged(ROOT, "eslint/bin/eslint.js", "--config", "web/eslint.config.js", "schema/schema.graphql", "web/src")
