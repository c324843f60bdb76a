#!/bin/sh
# Puts the programs that judge the files of deploy/ into .tools/lint, from requirements-lint.lock; when they are there,
# does nothing.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
if cmp -s requirements-lint.lock .tools/lint/.installed; then exit 0; fi
"$uv" venv --quiet --clear --python .venv/bin/python .tools/lint
"$uv" pip sync --quiet --python .tools/lint/bin/python --require-hashes requirements-lint.lock
cp requirements-lint.lock .tools/lint/.installed
