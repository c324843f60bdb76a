#!/bin/sh
# Locks what pyproject.toml asks for: requirements.lock for production, requirements-dev.lock for all of it.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
lock() { "$uv" pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" "$@"; }
lock pyproject.toml --output-file requirements.lock
lock pyproject.toml --extra embedded --group dev --constraint requirements.lock --output-file requirements-dev.lock
