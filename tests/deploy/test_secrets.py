"""The secrets that a deployment begins with, and who reads them."""

import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from cryptography.x509 import load_pem_x509_certificate
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from parley.stack.stack import free_port
from parley.stack.valkey import redis_server
from services.config import Settings
from services.tokens import open_tokens
from services.vapid import open_vapid
from tests.deploy.programs import ROOT, program

SECRETS = ROOT / "deploy/secrets.sh"
START_SECONDS = 30.0


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    program("openssl")
    directory = tmp_path / "secrets"
    subprocess.run([SECRETS, directory, "chat.example"], check=True, capture_output=True, timeout=60)
    return directory


def test_every_secret_of_the_compose_file_is_made_and_none_is_made_twice(secrets: Path) -> None:
    asked = {
        Path(entry["file"]).name
        for entry in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["secrets"].values()
    }
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}

    (secrets / "redis_password").unlink()
    subprocess.run([SECRETS, secrets], check=True, capture_output=True, timeout=60)
    after = {file.name: file.read_bytes() for file in secrets.iterdir()}

    assert set(before) == asked
    assert {name for name in after if after[name] != before[name]} == {"redis_password"}


def test_on_the_machine_only_their_owner_comes_to_the_secrets(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o444}


def test_parley_reads_its_secrets(secrets: Path) -> None:
    settings = Settings(
        mongo_url="mongodb://parley@mongo/",
        mongo_password_file=secrets / "mongo_password",
        redis_url="redis://redis",
        redis_password_file=secrets / "redis_password",
        kafka_url="kafka:9092",
        signing_key_file=secrets / "signing_key",
        push_key_file=secrets / "push_key",
    )

    assert (secrets / "mongo_password").read_text().strip() in settings.mongo_url
    assert open_tokens(settings).jwks()["keys"]
    assert open_vapid(settings) is not None


def test_the_certificate_is_for_the_name_that_was_given(secrets: Path) -> None:
    certificate = load_pem_x509_certificate((secrets / "tls_certificate").read_bytes())

    assert certificate.subject.rfc4514_string() == "CN=chat.example"


def test_mongodb_can_use_its_key(secrets: Path) -> None:
    key = "".join((secrets / "mongo_key").read_text().split())

    assert 6 <= len(key) <= 1024


def test_redis_takes_its_configuration_and_its_password(secrets: Path, tmp_path: Path) -> None:
    port, password = free_port(), (secrets / "redis_password").read_text().strip()
    configuration = tmp_path / "redis.conf"
    text = (ROOT / "deploy/redis/redis.conf").read_text().replace("dir /data", f"dir {tmp_path}")
    configuration.write_text(f'{text}requirepass "{password}"\nbind 127.0.0.1\nport {port}\n')
    binary, *_ = redis_server(tmp_path, port)

    with subprocess.Popen([binary, configuration], stdout=subprocess.DEVNULL) as server:
        try:
            redis = Redis(port=port, password=password, decode_responses=True)
            deadline = time.monotonic() + START_SECONDS
            while True:
                with suppress(RedisError):
                    redis.ping()
                    break
                assert time.monotonic() < deadline
                time.sleep(0.02)
            found = redis.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
            with pytest.raises(AuthenticationError), Redis(port=port) as stranger:
                stranger.ping()
            redis.close()
        finally:
            server.terminate()

    assert found == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(512 * 1024**2),
        "maxmemory-policy": "noeviction",
    }
