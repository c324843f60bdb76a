"""Runs a test of `web/test` in Node.js."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
NODE = str(ROOT / "tools" / "node.sh")
RUN_SECONDS = 240.0


def built(name: str, directory: Path) -> Path:
    """Return a test as one file that Node.js runs."""
    command = [NODE, "node", "node_modules/vite/bin/vite.js", "build", "--config", "test/vite.config.ts"]
    options = ["--ssr", f"test/{name}.test.ts", "--outDir", str(directory), "--logLevel", "error"]
    subprocess.run([*command, *options], cwd=WEB, check=True, timeout=RUN_SECONDS)
    return directory / f"{name}.test.js"


def run(test: Path, *options: str, **environment: str) -> int:
    """Run a test; return how many parts of it have passed, which are all."""
    finished = subprocess.run(
        [NODE, "node", "--test", *options, str(test)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    passed = re.search(r"^# pass ([1-9]\d*)", finished.stdout, re.MULTILINE)
    assert passed, finished.stdout
    return int(passed[1])
