"""The files of a deployment, judged by the programs that know their formats, and by what they must have in common."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from parley.draining import EXIT_SECONDS
from parley.server import KEEP_ALIVE_SECONDS
from services.alert_rules import RULES
from services.config import Settings
from services.limit_rules import Rules
from tests.deploy.programs import ROOT, program

COMPOSE = ROOT / "docker-compose.yml"
SECONDS = 60


def run(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)


def compose(path: Path = COMPOSE) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def broken(content: dict[str, Any]) -> list[str]:
    """Return what a compose file refers to and does not have, has and does not use, or leaves to chance."""
    found = list[str]()
    services = content["services"]
    used: dict[str, set[str]] = {"secrets": set(), "networks": set(), "volumes": set(), "configs": set()}
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                found.append(f"{name} depends on {other}, which is missing")
            elif how["condition"] == "service_healthy" and not services[other].get("healthcheck", {}).get("test"):
                found.append(f"{name} waits for the health of {other}, which has no check")
        for kind in ("secrets", "networks", "configs"):
            used[kind] |= {item if isinstance(item, str) else item["source"] for item in service.get(kind, ())}
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if not source.startswith("."):
                used["volumes"].add(source)
            elif "${" not in source and not (ROOT / source).exists():
                found.append(f"{name} mounts {source}, which does not exist")
        for secret in re.findall(r"/run/secrets/(\w+)", str(service)):
            if secret not in service.get("secrets", ()):
                found.append(f"{name} reads {secret} and is not given it")
        image = re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"])
        if not re.fullmatch(r"[a-z/.-]+:v?\d+(\.\d+)+(-\w+)?", image):
            found.append(f"{name} does not say which version of {image}")
        if name != "nginx" and not all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())):
            found.append(f"{name} can be reached from outside")
    for kind, names in used.items():
        there = set(content.get(kind, {}))
        found += [f"{missing} is not among the {kind}" for missing in names - there]
        found += [f"nobody uses {unused} of the {kind}" for unused in there - names]
    return sorted(found)


def test_the_compose_file_is_one() -> None:
    checked = run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)

    assert checked.returncode == 0, checked.stdout


def test_the_example_for_development_is_a_compose_file_over_the_same_services(tmp_path: Path) -> None:
    example = tmp_path / "compose.yaml"
    shutil.copy(ROOT / "compose.override.yaml.example", example)

    checked = run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", example)
    content = compose(example)
    watched = [entry["path"] for service in content["services"].values() for entry in service["develop"]["watch"]]

    assert checked.returncode == 0, checked.stdout
    assert set(content["services"]) <= set(compose()["services"])
    assert [path for path in watched if not (ROOT / path).exists()] == []


def test_the_option_with_a_firewall_changes_nothing_but_nginxs_image_and_files() -> None:
    path = ROOT / "compose.waf.yaml"

    checked = run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)
    services = compose(path)["services"]
    version = re.search(r"nginx-alpine-\d{12}$", services["nginx"]["image"])

    assert checked.returncode == 0, checked.stdout
    assert set(services) == {"nginx"}
    assert set(services["nginx"]) == {"image", "volumes"}
    assert version
    assert [volume for volume in services["nginx"]["volumes"] if not (ROOT / volume.partition(":")[0]).exists()] == []


def test_everything_that_the_compose_file_names_is_there() -> None:
    assert broken(compose()) == []


def test_what_is_missing_in_a_compose_file_is_found() -> None:
    content = compose()
    content["services"]["api"]["depends_on"] = {"nobody": {"condition": "service_started"}}
    content["services"]["nginx"]["depends_on"] = {"migrate": {"condition": "service_healthy"}}
    content["services"]["redis"]["networks"] = ["elsewhere"]
    content["services"]["kafka"]["image"] = "apache/kafka:latest"
    content["services"]["kafka"]["ports"] = ["9092:9092"]
    content["services"]["worker"]["secrets"] = ["push_key", "alert_webhook_secret", "mongo_password"]
    content["secrets"]["spare"] = {"file": "./secrets/spare"}
    del content["volumes"]["mongo"]

    assert broken(content) == [
        "api depends on nobody, which is missing",
        "elsewhere is not among the networks",
        "kafka can be reached from outside",
        "kafka does not say which version of apache/kafka:latest",
        "mongo is not among the volumes",
        "nginx waits for the health of migrate, which has no check",
        "nobody uses spare of the secrets",
        "worker reads redis_password and is not given it",
    ]


def test_no_container_can_become_root_or_write_where_it_should_not() -> None:
    services = compose()["services"]

    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["pids_limit"], name
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service.get("user", "1000:1000")), name  # Kafka's image has its own
    assert [name for name, service in services.items() if not service["read_only"]] == ["kafka"]
    assert [name for name, service in services.items() if "edge" in service["networks"]] == ["nginx", "api"]
    assert compose()["networks"]["backend"]["internal"]


def test_a_process_is_given_the_time_that_its_drain_takes() -> None:
    services = compose()["services"]

    for name in ("api", "worker"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) > EXIT_SECONDS


def test_the_image_runs_as_the_user_of_the_compose_file() -> None:
    user = re.findall(r"^USER (.+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    assert user == [compose()["services"]["api"]["user"]]


def test_all_files_are_of_the_same_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert f"\nARG VERSION={version}\n" in (ROOT / "deploy/Dockerfile").read_text()
    assert f"image: ${{IMAGE:-parley:{version}}}" in COMPOSE.read_text()


def test_the_dockerfile_is_well_made() -> None:
    checked = run(program("hadolint"), "--failure-threshold", "style", "deploy/Dockerfile")

    assert checked.returncode == 0, checked.stdout


def test_a_careless_dockerfile_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN cd /tmp && apt-get install curl\n")

    checked = run(program("hadolint"), "--failure-threshold", "style", tmp_path / "Dockerfile")

    assert checked.returncode != 0


def settings_of(text: str) -> dict[str, str]:
    """Return the variables of an environment file, those that are commented out as well."""
    return dict(re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", text, re.MULTILINE))


def test_the_example_of_an_environment_has_every_setting_with_its_default() -> None:
    example = settings_of((ROOT / ".env.example").read_text())
    ours = {name.removeprefix("PARLEY_").lower(): value for name, value in example.items() if "PARLEY_" in name}

    assert set(ours) == set(Settings.model_fields)
    for name, value in ours.items():
        field = Settings.model_fields[name]
        default = field.get_default(call_default_factory=True)
        shown = "" if field.is_required() or default in (None, (), Rules(), RULES) else default
        assert value == (
            f"{shown:g}" if isinstance(shown, float) else str(shown).lower() if isinstance(shown, bool) else str(shown)
        ), name


def test_the_example_of_an_environment_has_the_settings_of_the_readmes_table() -> None:
    rows = re.findall(r"^\| `(PARLEY_\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    example = settings_of((ROOT / ".env.example").read_text())

    assert set(rows) == {name for name in example if name.startswith("PARLEY_")}


def test_the_example_of_an_environment_has_every_variable_of_the_compose_file() -> None:
    example = settings_of((ROOT / ".env.example").read_text())
    asked = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", COMPOSE.read_text()))
    of_compose = {name: value for name, value in example.items() if not name.startswith("PARLEY_")}

    assert {name: value for name, value in asked.items() if not name.startswith("PARLEY_")} == of_compose
    assert set(asked) <= set(example)


@pytest.mark.parametrize("site", ["tls", "plain"])
def test_nothing_is_wrong_with_the_configuration_of_nginx(tmp_path: Path, site: str) -> None:
    shutil.copytree(ROOT / "deploy/nginx/conf", tmp_path / "conf")
    shutil.copytree(ROOT / "deploy/nginx/sites" / site, tmp_path / "site")

    checked = run(program("gixy"), "nginx.conf", cwd=tmp_path / "conf")

    assert checked.returncode == 0, checked.stdout
    assert "No issues found" in checked.stdout


def test_nginx_closes_an_idle_connection_before_the_api_does() -> None:
    upstream = (ROOT / "deploy/nginx/conf/nginx.conf").read_text().partition("upstream api {")[2].partition("}")[0]
    (seconds,) = re.findall(r"^\s*keepalive_timeout (\d+)s;$", upstream, re.MULTILINE)

    assert int(seconds) < KEEP_ALIVE_SECONDS


def test_a_careless_configuration_of_nginx_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy/nginx/conf", tmp_path / "conf")
    shutil.copytree(ROOT / "deploy/nginx/sites/tls", tmp_path / "site")
    (tmp_path / "conf/proxy.conf").write_text("proxy_set_header Host $http_host;\n")

    checked = run(program("gixy"), "nginx.conf", cwd=tmp_path / "conf")

    assert "host_spoofing" in checked.stdout
