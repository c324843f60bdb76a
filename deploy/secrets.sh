#!/bin/sh
# Makes the secrets that docker-compose.yml asks for and that are missing in the directory (secrets/); changes none that
# is there. The certificate is signed by itself, for trying: put a real one in its place.
set -eu
directory=${1:-secrets}
name=${2:-localhost}
command -v openssl >/dev/null || { echo "This needs openssl." >&2; exit 1; }
umask 077
mkdir -p "$directory"
cd "$directory"

make_secret() { # its file; the command that prints it follows
  file=$1
  shift
  if [ -e "$file" ]; then return; fi
  "$@" >"$file.new" 2>"$file.errors" || { cat "$file.errors" >&2; exit 1; }
  rm "$file.errors"
  # Processes in containers read it as users of their own; on this machine the directory keeps others out.
  chmod 0444 "$file.new"
  mv "$file.new" "$file"
  echo "made $directory/$file"
}

make_secret signing_key openssl genpkey -algorithm ed25519
make_secret push_key openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256
for password in mongo_root_password mongo_password redis_password alert_webhook_secret grafana_password; do
  make_secret "$password" openssl rand -hex 32
done
make_secret mongo_key openssl rand -base64 756
if [ ! -e tls_certificate ]; then
  make_secret tls_key openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256
  make_secret tls_certificate openssl req -x509 -new -key tls_key -days 90 -subj "/CN=$name" \
    -addext "subjectAltName=DNS:$name"
fi
