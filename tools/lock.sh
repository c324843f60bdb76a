#!/bin/sh
# Locks what pyproject.toml asks for: requirements.lock for production, requirements-extras.lock for that with traces and
# Sentry, which the image has, requirements-dev.lock for all of it and development,
# requirements-image.lock for building the image, requirements-lint.lock for the programs that judge deploy/,
# requirements-docs.lock for the documentation's site.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
lock() { "$uv" pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" "$@"; }
lock pyproject.toml --output-file requirements.lock
lock pyproject.toml --extra tracing --extra sentry --constraint requirements.lock --output-file requirements-extras.lock
lock pyproject.toml --extra embedded --extra tracing --extra sentry --group dev --constraint requirements-extras.lock --output-file requirements-dev.lock
lock --group image --constraint requirements-dev.lock --output-file requirements-image.lock
lock --group lint --output-file requirements-lint.lock
lock --group docs --output-file requirements-docs.lock
