#!/bin/sh
# Installs from Debian the programs that some tests drive. Where that is not possible it says so and goes on:
# those tests are then skipped, but on CI they fail.
set -eu

# One line each: the command, or a file, and the package that has it.
programs='
chromium chromium
nginx nginx
/usr/lib/nginx/modules/ngx_http_modsecurity_module.so libnginx-mod-http-modsecurity
/usr/share/modsecurity-crs/rules modsecurity-crs
prometheus prometheus
prometheus-alertmanager prometheus-alertmanager
'

PATH=$PATH:/usr/sbin:/sbin # where nginx is, and where not everybody looks
missing=$(echo "$programs" | while read -r command package; do
  case $command in
    '') ;;
    /*) [ -e "$command" ] || printf ' %s' "$package" ;;
    *) command -v "$command" >/dev/null || printf ' %s' "$package" ;;
  esac
done)
if [ -z "$missing" ]; then exit 0; fi

sorry() {
  echo "Not installed, so tests that need them are skipped:$missing ($1)." >&2
  exit 0
}

command -v apt-get >/dev/null || sorry "there is no apt-get here"
if [ "$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo='sudo -n'; else sorry "this needs root"; fi

log=$(mktemp)
# Tests start what they need themselves: no service of these packages may listen on this machine, now or when it boots.
policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then policy=; else
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod 0755 "$policy"
fi
clean() {
  rm -f "$log"
  if [ -n "$policy" ]; then $sudo rm -f "$policy"; fi
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
get() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get --quiet "$@"; }
# shellcheck disable=SC2086 # a list of words
if ! { get update && get install --yes --no-install-recommends $missing; } >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  sorry "apt-get failed, see above"
fi
for package in $missing; do
  $sudo systemctl --quiet disable "$package" >/dev/null 2>&1 || true # most are no services
done
