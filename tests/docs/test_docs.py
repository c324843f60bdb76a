"""Whatever an operator or a client can meet is documented, and the documentation becomes a site whose links hold."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from parley.cli import app
from parley.exposition import COMPONENT, COUNTERS, GAUGES, HISTOGRAMS
from parley.protocol import CloseCode
from schema.api import graphql_schema
from services import errors
from services.config import Settings
from tests.deploy.programs import ROOT, program

DOCS = ROOT / "docs"
_CODE = re.compile(r'"([A-Z]+(?:_[A-Z]+)*)"')


def page(name: str) -> str:
    return (DOCS / name).read_text()


def rows(name: str) -> set[str]:
    """Return what stands in the first column of a page's tables."""
    cells = re.findall(r"^\| ([^|]+?) \|", page(name), re.MULTILINE)
    return {found for cell in cells for found in re.findall(r"`([^`]+)`", cell)}


def verbs(command: object, name: str) -> Iterator[str]:
    """Yield what a command line can be told to do."""
    if isinstance(command, TyperGroup):
        for word, each in command.commands.items():
            yield from verbs(each, f"{name} {word}")
    else:
        yield name


def error_codes() -> set[str]:
    """Return every code that an error may have: of the classes, and those that are written beside a message."""
    found = set[str]()
    classes = [errors.ChatError]
    while classes:
        each = classes.pop()
        classes += each.__subclasses__()
        if hasattr(each, "code"):
            found.add(str(each.code))
    for path in (ROOT / "parley").glob("*.py"):
        for line in path.read_text().splitlines():
            if re.search(r'"code": "|_refused\(|_error\(|_errors\(|_of_request\(|Unreadable\(|refusal\(', line):
                found |= set(_CODE.findall(line)) - {"GET", "POST", "HEAD"}
    return found


def test_every_error_code_is_documented() -> None:
    codes = error_codes()

    assert {"COMMIT_UNKNOWN", "QUERY_TOO_COMPLEX", "PERSISTED_QUERY_NOT_FOUND", "INTERNAL", "CONFLICT"} <= codes
    assert codes == {row for row in rows("errors.md") if not row.isdecimal()}


def test_every_close_code_is_documented_with_what_clients_do() -> None:
    documented = dict(re.findall(r"^\| `(\d{4})` \| (yes|no) \|", page("errors.md"), re.MULTILINE))

    assert documented == {str(code.value): "yes" if code.retried else "no" for code in CloseCode}


def test_every_command_is_documented() -> None:
    assert set(verbs(typer.main.get_command(app), "parley")) == rows("commands.md")


def test_every_setting_is_documented() -> None:
    settings = set(re.findall(r"^\| `(PARLEY_\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE))

    assert {f"PARLEY_{name.upper()}" for name in Settings.model_fields} == settings


def test_every_metric_is_documented() -> None:
    names = {
        *(f"{name}_total" for name, *_ in COUNTERS.values()),
        *(name for name, *_ in HISTOGRAMS.values()),
        *(name for name, *_ in GAUGES.values()),
    }

    assert names | {"parley_build_info", COMPONENT} == rows("metrics.md") & {
        row for row in rows("metrics.md") if row.startswith("parley_")
    }


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\(decisions/(.+?\.md)\)", page("README.md"))

    assert sorted(listed) == sorted(path.name for path in (DOCS / "decisions").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it: strictly."""
    program("mkdocs")
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [ROOT / "tools/docs.sh", directory], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


def test_the_site_has_every_type_field_and_operation_of_the_schema(site: Path) -> None:
    text = "\n".join(path.read_text() for path in (site / "reference").glob("*.html"))
    schema = graphql_schema()
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]
    operations = {name for root in roots if root for name in root.fields}
    types = {name for name in schema.type_map if not name.startswith("__")} - {root.name for root in roots if root}
    specified = {"String", "Int", "Float", "Boolean", "ID"}

    assert [name for name in sorted(operations | types - specified) if f'id="{name}"' not in text] == []


def test_the_site_asks_nothing_of_other_hosts(site: Path) -> None:
    first = (site / "index.html").read_text()

    assert re.findall(r'(?:<script[^>]* src|<link[^>]*rel="stylesheet"[^>]* href)="(https?:[^"]+)"', first) == []
