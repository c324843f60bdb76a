#!/bin/sh
# Builds the documentation's site into dist/docs (or where its argument says) with MkDocs in .tools/docs, from
# requirements-docs.lock. What is linked and missing makes it fail.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
if ! cmp -s requirements-docs.lock .tools/docs/.installed; then
  "$uv" venv --quiet --clear --python .venv/bin/python .tools/docs
  "$uv" pip sync --quiet --python .tools/docs/bin/python --require-hashes requirements-docs.lock
  cp requirements-docs.lock .tools/docs/.installed
fi
if [ "${1:-}" = --install ]; then exit 0; fi
NO_MKDOCS_2_WARNING=1 .tools/docs/bin/mkdocs build --strict --site-dir "${1:-dist/docs}"
echo "${1:-dist/docs}/index.html"
