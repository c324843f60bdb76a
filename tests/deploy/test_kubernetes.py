"""The manifests for Kubernetes: as its schemas want them, and of one mind with the code that they run."""

import ipaddress
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
import yaml

from parley.cli import app as command_line
from parley.draining import EXIT_SECONDS
from parley.exposition import GAUGES
from parley.http import plain_routes
from services import jobs, topics
from services.activity import Activity
from services.config import Settings
from services.pushes import PushJob
from services.search import SearchJob
from services.tracking import TRACKING_STREAM, TrackingJob
from tests.deploy.manifests import (
    KUBERNETES,
    OVERLAYS,
    Resource,
    broken,
    container,
    of_kind,
    pods,
    rendered,
    resources,
    seconds,
    settings,
)
from tests.deploy.programs import ROOT, program

# `make secrets` makes them as files of the same names.
SECRETS = {"signing_key", "push_key", "alert_webhook_secret", "mongo_password", "redis_password"}
OTHERS_OWN = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}  # tools/custom_resources.py knows their definitions


@pytest.fixture(scope="module", params=OVERLAYS)
def text(request: pytest.FixtureRequest) -> str:
    """The manifests of an overlay."""
    return rendered(KUBERNETES / "overlays" / request.param)


@pytest.fixture
def found(text: str) -> list[Resource]:
    return resources(text)


def validated(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("kubernetes-validate"), "--strict", "--no-warn", path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def definitions(text: str) -> subprocess.CompletedProcess[str]:
    # The models are where the validator is, and not in Parley's own environment.
    python = Path(program("kubernetes-validate")).with_name("python")
    checker = ROOT / "tools/custom_resources.py"
    return subprocess.run([python, checker], input=text, capture_output=True, text=True, timeout=60, check=False)


def test_every_resource_is_as_its_schema_wants_it(text: str, found: list[Resource], tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(text)

    checked = validated(tmp_path / "all.yaml")
    of_others = definitions(text)
    own = [resource for resource in found if resource["kind"] not in OTHERS_OWN]

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (checked.stdout + checked.stderr).count(" passed for resource ") == len(own)
    assert of_others.returncode == 0, of_others.stdout


@pytest.mark.parametrize(
    ("right", "wrong"), [("minReadySeconds:", "minReadySecond:"), ("maxUnavailable: 1", "maxUnavailable: [1]")]
)
def test_a_misspelt_resource_is_noticed(text: str, right: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(text.replace(right, wrong))

    assert validated(tmp_path / "all.yaml").returncode != 0


@pytest.mark.parametrize(
    ("right", "wrong"), [("pollingInterval:", "pollInterval:"), ("scrapeTimeout: 10s", "scrapeTimeout: 10")]
)
def test_a_misspelt_resource_of_others_is_noticed(text: str, right: str, wrong: str) -> None:
    assert definitions(text.replace(right, wrong)).returncode != 0


def test_everything_that_a_manifest_names_is_there(found: list[Resource]) -> None:
    assert broken(found, SECRETS) == []
    made = (ROOT / "deploy/secrets.sh").read_text()
    assert [name for name in SECRETS if not re.search(rf"\b{name}\b", made)] == []


def test_the_webhook_s_secret_is_given_to_whoever_signs_and_to_nobody_else(found: list[Resource]) -> None:
    given = {
        name: {item["path"] for volume in pod["spec"]["volumes"] for item in volume.get("secret", {}).get("items", ())}
        for name, pod in pods(found).items()
    }
    (told,) = container(pods(found)["worker"])["env"]

    assert told == {
        "name": "PARLEY_ALERT_WEBHOOK_SECRET_FILE",
        "value": "/run/secrets/parley/alert_webhook_secret",
    }
    assert [name for name, paths in given.items() if "alert_webhook_secret" in paths] == ["worker"]


def test_the_operator_of_prometheus_gets_the_same_rules_as_prometheus(found: list[Resource]) -> None:
    (rules,) = of_kind(found, "PrometheusRule").values()

    assert rules["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())


def _no_secret(found: list[Resource]) -> None:
    pods(found)["api"]["spec"]["volumes"][0]["secret"]["items"].pop(2)


def _no_port(found: list[Resource]) -> None:
    container(pods(found)["worker"])["ports"][0]["name"] = "web"


def _no_service(found: list[Resource]) -> None:
    of_kind(found, "Service")["api"]["metadata"]["name"] = "parley"


def _no_target(found: list[Resource]) -> None:
    of_kind(found, "ScaledObject")["worker"]["spec"]["scaleTargetRef"]["name"] = "workers"


@pytest.mark.parametrize(
    ("breaks", "line"),
    [
        (_no_secret, "api opens /run/secrets/parley/mongo_password and is not given it"),
        (_no_port, "worker is asked at http, which is no port of it"),
        (_no_service, "ingress api leads to api:http, which is missing"),
        (_no_target, "ScaledObject worker scales workers, which is missing"),
    ],
)
def test_what_is_missing_in_a_manifest_is_found(
    found: list[Resource], breaks: Callable[[list[Resource]], None], line: str
) -> None:
    breaks(found)

    assert line in broken(found, SECRETS)


def test_every_variable_is_a_setting_and_the_settings_hold(found: list[Resource], tmp_path: Path) -> None:
    given = {name.removeprefix("PARLEY_").lower(): value for name, value in settings(found).items()}
    for name in ("mongo", "redis"):
        (tmp_path / name).write_text("password")
    here = {f"{name}_password_file": str(tmp_path / name) for name in ("mongo", "redis")}

    assert set(given) <= set(Settings.model_fields)
    assert Settings.model_validate(given | here).kafka_replication <= len(given["kafka_url"].split(","))


def test_probes_ask_for_paths_that_there_are(found: list[Resource]) -> None:
    servers = {"mongo_url": "mongodb://m", "redis_url": "redis://r", "kafka_url": "k:9092"}
    there = {route.path for route in plain_routes(Settings.model_validate(servers))}
    asked = {
        container(pod)[probe]["httpGet"]["path"]
        for name, pod in pods(found).items()
        if name != "migrate"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }

    assert asked == {"/health/live", "/health/ready"} <= there


def test_containers_run_commands_that_there_are_with_their_options(found: list[Resource]) -> None:
    commands = typer.main.get_command(command_line)
    for pod in pods(found).values():
        name, *options = container(pod)["args"]
        command = commands.get_command(commands.make_context("parley", [name]), name)  # type: ignore[attr-defined]  # a group

        context = command.make_context(name, list(options))

        ports = [port["containerPort"] for port in container(pod).get("ports", ())]
        assert [context.params["port"]] * len(ports) == ports if ports else name == "migrate"


def test_a_process_is_given_the_time_that_its_pause_and_its_drain_take(found: list[Resource]) -> None:
    for name in ("api", "worker"):
        pod = pods(found)[name]
        pause = container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

        assert pod["spec"]["terminationGracePeriodSeconds"] > pause + EXIT_SECONDS


def test_no_container_can_become_root_or_write_where_it_should_not(found: list[Resource]) -> None:
    user = re.findall(r"^USER (\d+):", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    for pod in pods(found).values():
        spec, own = pod["spec"], container(pod)["securityContext"]

        assert spec["securityContext"]["runAsNonRoot"]
        assert [str(spec["securityContext"]["runAsUser"])] == user
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert not spec["automountServiceAccountToken"]
        assert not spec["enableServiceLinks"]
        assert container(pod)["resources"]["limits"]["memory"]
    (namespace,) = of_kind(found, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_nothing_goes_in_or_out_by_default_and_no_policy_opens_everything(found: list[Resource]) -> None:
    policies = of_kind(found, "NetworkPolicy")
    default = policies.pop("nothing-else")["spec"]

    assert default["podSelector"] == {}
    assert set(default["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in default
    assert "egress" not in default
    for policy in policies.values():
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            assert rule.get("from") or rule.get("to")
            assert rule["ports"]


def test_whoever_may_go_out_reaches_nothing_private(found: list[Resource]) -> None:
    (rule,) = of_kind(found, "NetworkPolicy")["public"]["spec"]["egress"]
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    for address in ("10.1.2.3", "169.254.169.254", "192.168.0.1", "172.20.0.1", "127.0.0.1", "fd00::1", "fe80::1"):
        inside = [
            block
            for block in blocks
            if ipaddress.ip_address(address) in ipaddress.ip_network(block["cidr"])
            and not any(ipaddress.ip_address(address) in ipaddress.ip_network(part) for part in block["except"])
        ]

        assert inside == [], address


def test_the_api_is_scaled_by_a_metric_that_it_shows(found: list[Resource]) -> None:
    metrics = of_kind(found, "HorizontalPodAutoscaler")["api"]["spec"]["metrics"]
    named = [each["pods"]["metric"]["name"] for each in metrics if each["type"] == "Pods"]

    assert named == [GAUGES["connections"][0]]


def test_workers_are_scaled_by_every_job_and_never_beyond_the_partitions(found: list[Resource]) -> None:
    spec = of_kind(found, "ScaledObject")["worker"]["spec"]
    groups = {each["metadata"]["consumerGroup"]: each["metadata"]["topic"] for each in spec["triggers"]}

    assert groups == {
        **{f"parley.{job.name}": jobs.EVENT_STREAM.topic for job in (Activity, SearchJob, PushJob)},
        f"parley.{TrackingJob.name}": TRACKING_STREAM.topic,
    }
    assert spec["maxReplicaCount"] == topics.PARTITIONS[topics.EVENTS]
    assert {each["metadata"]["bootstrapServers"] for each in spec["triggers"]} == {settings(found)["PARLEY_KAFKA_URL"]}


def test_an_ingress_waits_as_long_as_our_own_nginx(found: list[Resource]) -> None:
    proxy = dict(
        re.findall(r"^(proxy_\w+) ([^;]+);$", (ROOT / "deploy/nginx/conf/proxy.conf").read_text(), re.MULTILINE)
    )
    notes = of_kind(found, "Ingress")["api"]["metadata"]["annotations"]

    for name in ("proxy_read_timeout", "proxy_send_timeout", "proxy_connect_timeout"):
        for dialect in ("nginx.ingress.kubernetes.io", "nginx.org"):
            assert seconds(notes[f"{dialect}/{name.replace('_', '-')}"]) == seconds(proxy[name])
    assert notes["nginx.ingress.kubernetes.io/proxy-next-upstream"] == proxy["proxy_next_upstream"]


def test_an_overlay_names_its_image_and_the_base_has_this_version(found: list[Resource]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {container(pod)["image"] for pod in pods(found).values()}

    assert len(images) == 1
    assert re.fullmatch(rf"\S+/parley:{re.escape(version)}", images.pop())
    assert {container(pod)["image"] for pod in pods(resources(rendered(KUBERNETES / "base"))).values()} == {
        f"parley:{version}"
    }
