#!/bin/sh
# Makes .venv at the root: CPython 3.13, the locked packages and Parley itself, editable.
# Where uv is missing it comes from PyPI into .tools/; where CPython 3.13 is missing uv fetches it.
set -eu
cd "$(dirname "$0")/.."

works() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; }

find_python() {
  for candidate in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python3.13; do
    if works "$candidate"; then command -v "$candidate"; return; fi
  done
  "$uv" python find --no-project 3.13 2>/dev/null || echo 3.13
}

find_uv() {
  if command -v uv >/dev/null 2>&1; then command -v uv; return; fi
  if [ ! -x .tools/uv/bin/uv ]; then
    for python in python3 python; do
      "$python" -m venv .tools/uv >/dev/null 2>&1 && .tools/uv/bin/python -m pip install --quiet uv >&2 && break
      rm -rf .tools/uv
      # Debian's python3 has no venv until python3-venv is there; pip alone does as well.
      "$python" -m pip install --quiet --target .tools/uv uv >&2 && break
      rm -rf .tools/uv
    done
  fi
  if [ ! -x .tools/uv/bin/uv ]; then
    echo "Parley needs uv, or a python3 with pip to get it. Install one of them and try again." >&2
    exit 1
  fi
  echo "$PWD/.tools/uv/bin/uv"
}

uv=$(find_uv)
# The lock names no registry: whichever one this machine uses is asked.
if ! works .venv/bin/python; then
  "$uv" venv --quiet --clear --python "$(find_python)" .venv
fi
# Compiled now, once: a process that compiles what it imports takes four times as long to start.
"$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements-dev.lock
# The build back end is in the lock too, so nothing unlocked is run.
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
