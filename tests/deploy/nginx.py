"""A real nginx on our files, unprivileged, on free loopback ports; only what differs by installation is the test's."""

import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from parley.stack.stack import free_port
from tests.deploy.programs import ROOT, program

HOST = "127.0.0.1"
START_SECONDS = 30.0
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx."""

    directory: Path
    port: int
    tls_port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://{HOST}:{self.tls_port}"

    @property
    def certificate(self) -> Path:
        return self.directory / "site" / "certificate.pem"

    def reload(self) -> set[int]:
        """Have it read its files again, as `nginx -s reload` does; return the pids of the workers that go."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        _wait(lambda: bool(self.workers() - before), "new workers")
        return before

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def lines(self) -> list[dict[str, Any]]:
        """Return the access log."""
        text = (self.directory / "log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@contextmanager
def running_nginx(*servers: str, site: str | None = None, waf: bool = False) -> Iterator[Nginx]:
    """Run it before these servers, `host:port`, until the block ends. It believes 127.0.0.1 where clients come from.

    With a site it takes the files of that, changed as little as this machine and an older nginx need; with `waf` it has
    ModSecurity with the core rules that Debian packs.
    """
    executable = program("nginx")
    # Where a worker may look: pytest's directories are closed to everybody else.
    directory = Path(tempfile.mkdtemp(prefix="parley-nginx-"))
    port = free_port(2)
    process: subprocess.Popen[bytes] | None = None
    try:
        shutil.copytree(ROOT / "deploy/nginx/conf", directory / "conf")
        (directory / "run").mkdir()
        (directory / "site").mkdir()
        configuration = directory / "conf/nginx.conf"
        configuration.write_text(_impatient(configuration.read_text()))
        _make_certificate(directory / "site")
        _write_site(directory / "site", servers, port)
        if site is not None:
            _adapt_site(ROOT / "deploy/nginx/sites" / site, directory / "site", port)
        if waf:
            _adapt_waf(directory / "waf")
        as_root = os.geteuid() == 0
        with (directory / "log").open("ab") as log:
            if as_root:
                for path in (directory, *directory.rglob("*")):
                    os.chown(path, NOBODY, NOBODY)
            process = subprocess.Popen(
                [executable, "-p", directory / "run", "-c", directory / "conf/nginx.conf", "-g", "daemon off;"],
                stdout=log,
                stderr=log,
                user=NOBODY if as_root else None,
                group=NOBODY if as_root else None,
                extra_groups=[] if as_root else None,
            )
        nginx = Nginx(directory, port, port + 1, process)
        _wait(lambda: _answers(nginx, directory / "log"), "nginx")
        yield nginx
    finally:
        if process is not None:
            _end(process)
        shutil.rmtree(directory)


def _impatient(configuration: str) -> str:
    """Return the configuration with less time for the old workers after a reload: a test waits for their end."""
    changed, times = re.subn(
        r"^worker_shutdown_timeout \d+s;$", "worker_shutdown_timeout 6s;", configuration, flags=re.MULTILINE
    )
    assert times == 1
    return changed


def _write_site(site: Path, servers: Sequence[str], port: int) -> None:
    (site / "upstream.conf").write_text(
        "".join(f"server {server} max_fails=1 fail_timeout=1s;\n" for server in servers)
    )
    (site / "server.conf").write_text(
        f"listen {HOST}:{port};\nlisten 127.0.0.2:{port};\nlisten {HOST}:{port + 1} ssl;\ninclude tls.conf;\n"
        f"ssl_certificate {site}/certificate.pem;\nssl_certificate_key {site}/key.pem;\n"
    )
    (site / "http.conf").write_text(
        f"set_real_ip_from {HOST};\nreal_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n"
    )


def _adapt_site(source: Path, site: Path, port: int) -> None:
    for name in ("http.conf", "server.conf"):
        text = (source / name).read_text()
        for ours, here in (
            ("listen 8080", f"listen {HOST}:{port}"),
            ("listen 8443", f"listen {HOST}:{port + 1}"),
            ("/run/secrets/tls_certificate", f"{site}/certificate.pem"),
            ("/run/secrets/tls_key", f"{site}/key.pem"),
            ("http2 on;", ""),  # since nginx 1.25.1
        ):
            text = text.replace(ours, here)
        (site / name).write_text(text)


def _adapt_waf(directory: Path) -> None:
    shutil.copytree(ROOT / "deploy/nginx/waf", directory)
    for path in directory.iterdir():
        text = path.read_text()
        for ours, here in (
            ("/etc/parley/waf", str(directory)),
            ("/opt/owasp-crs/crs-setup.conf", "/etc/modsecurity/crs/crs-setup.conf"),
            ("/opt/owasp-crs/rules", "/usr/share/modsecurity-crs/rules"),
        ):
            text = text.replace(ours, here)
        path.write_text(text)


def _make_certificate(site: Path) -> None:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "parley")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (site / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (site / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _answers(nginx: Nginx, log: Path) -> bool:
    assert nginx.process.poll() is None, log.read_text()
    with suppress(OSError), socket.create_connection((HOST, nginx.port), timeout=1):
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        process.terminate()
        psutil.wait_procs(family, timeout=10)
        for left in family:
            with suppress(psutil.NoSuchProcess):
                left.kill()
    process.wait(10)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in time"
        time.sleep(0.02)
