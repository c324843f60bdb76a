#!/bin/sh
# Builds the pages: each folder of web/src/ with an index.html becomes the folder of that name in parley/web/.
# Does nothing when they were built from these sources.
set -eu
cd "$(dirname "$0")/.."

sources=$(find web tools/web.sh tools/node.sh -name node_modules -prune -o -type f -exec cksum {} + | LC_ALL=C sort)
pages=$(cd web/src && for index in */index.html; do dirname "$index"; done)

is_built() {
  for page in $pages; do
    [ "$(cat "parley/web/$page/.sources" 2>/dev/null)" = "$sources" ] || return 1
  done
}
if is_built; then exit 0; fi

mkdir -p parley/web
# Beside the pages, so that a page is swapped by a rename and an interrupted build leaves the last one in place.
work=$(mktemp -d "$PWD/parley/web/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

cd web
if ! cmp -s package-lock.json node_modules/.installed; then
  quietly ../tools/node.sh npm ci
  cp package-lock.json node_modules/.installed
fi
quietly ../tools/node.sh node node_modules/typescript/bin/tsc
quietly ../tools/node.sh node node_modules/typescript/bin/tsc --project test
for page in $pages; do
  quietly ../tools/node.sh node node_modules/vite/bin/vite.js build "src/$page" \
    --config vite.config.ts --base "/$page/" --outDir "$work/$page" --logLevel error
  if [ -e "src/$page/documents.ts" ]; then
    quietly ../tools/node.sh node node_modules/vite/bin/vite.js build --config test/vite.config.ts \
      --ssr "src/$page/documents.ts" --outDir "$work/documents" --logLevel error
    ../tools/node.sh node "$work/documents/documents.js" >"$work/$page/documents.json"
  fi
  echo "$sources" >"$work/$page/.sources"
done

cd ../parley/web
for page in $pages; do
  if [ -e "$page" ]; then mv "$page" "$work/$page.old"; fi
  mv "$work/$page" "$page"
done
