"""Prometheus, Alertmanager and Grafana: the files that they are given, and the real ones before three API processes."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from parley.prometheus import API_JOB, WORKER_JOB, rules_text
from parley.stack.stack import free_port
from services.alert_rules import RULES, parsed
from tests.alert_receiver import AlertReceiver
from tests.clients import Json
from tests.deploy.programs import ROOT, program
from tests.stack_process import StackProcess, running_stack

DEPLOY = ROOT / "deploy"
CHANGES = "KafkaDown=0/2, LoopLate=off, AnswersSlow=off, DeliveriesSlow=off"
SECONDS = 120


def judged(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Return what a program says of our files."""
    command = [program(name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_rules_are_those_of_parley() -> None:
    assert (DEPLOY / "prometheus/rules.yml").read_text() == rules_text(RULES)


def test_every_rule_is_tried_by_numbers_and_explained() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    tried = set(re.findall(r'alertname="(\w+)"', (DEPLOY / "prometheus/rules_test.yml").read_text()))
    explained = set(re.findall(r"^### (\w+)$", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE))

    assert tried == names
    assert explained == names


def test_the_rules_do_what_their_examples_say() -> None:
    checked = judged("promtool", "test", "rules", DEPLOY / "prometheus/rules_test.yml")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_rule_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    for name in ("rules.yml", "rules_test.yml"):
        text = (DEPLOY / "prometheus" / name).read_text()
        (tmp_path / name).write_text(text.replace("max(parley_dead_letters) > 0", "max(parley_dead_letters) > 5"))

    assert judged("promtool", "test", "rules", tmp_path / "rules_test.yml").returncode != 0


def test_prometheus_and_alertmanager_take_their_files() -> None:
    prometheus = judged("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")
    alertmanager = judged("amtool", "check-config", DEPLOY / "alertmanager/alertmanager.yml")

    assert prometheus.returncode == 0, prometheus.stdout + prometheus.stderr
    assert alertmanager.returncode == 0, alertmanager.stdout + alertmanager.stderr


def test_every_rule_that_holds_others_back_exists() -> None:
    names = {rule.name for rule in RULES}
    config = yaml.safe_load((DEPLOY / "alertmanager/alertmanager.yml").read_text())
    matchers = [
        matcher for rule in config["inhibit_rules"] for matcher in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    patterns = [pattern for matcher in matchers for pattern in matcher.split('"')[1].split("|")]

    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in names)] == []


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Three API processes and a worker."""
    with running_stack(tmp_path_factory.mktemp("watched"), replicas=3) as stack:
        yield stack


def processes(stack: StackProcess, part: str) -> list[str]:
    """Return the addresses of the processes of one kind."""
    return [each["url"].removeprefix("http://") for each in stack.run()[part]]


def test_every_metric_of_the_dashboard_and_of_the_rules_is_shown_by_a_process(watched: StackProcess) -> None:
    dashboard = (DEPLOY / "grafana/dashboards/parley.json").read_text()
    expressions = [target["expr"] for panel in json.loads(dashboard)["panels"] for target in panel["targets"]]
    expressions.append((DEPLOY / "prometheus/rules.yml").read_text())
    asked = {name for each in expressions for name in re.findall(r"\b(?:parley|process)_\w+", each)}
    pages = [
        httpx.get(f"http://{address}/metrics").text
        for part in ("api", "workers")
        for address in processes(watched, part)
    ]
    shown = {name for page in pages for name in re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE)}
    histograms = {name for page in pages for name in re.findall(r"^# TYPE (\w+) histogram", page, re.MULTILINE)}
    shown |= {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}

    assert len(asked) > 20
    assert asked - shown == set()


def test_the_dashboard_is_provisioned_from_where_it_is_and_asks_the_datasource_that_there_is() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    providers = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/parley.yml").read_text())["providers"]
    dashboard = (DEPLOY / "grafana/dashboards/parley.json").read_text()
    mounted = {volume.split(":")[1] for volume in compose["grafana"]["volumes"]}

    assert {provider["options"]["path"] for provider in providers} <= mounted
    assert {source["uid"] for source in sources} == set(re.findall(r'"uid": "(\w+)"', dashboard)) - {"parley"}
    assert sources[0]["url"] == "http://prometheus:9090"


def changed(path: Path, **changes: Any) -> Json:
    """Return one of our configurations with other values at its top."""
    content: Json = yaml.safe_load(path.read_text())
    return content | changes


@contextmanager
def serving(*command: str | Path, log: Path) -> Iterator[None]:
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture
def receiver() -> AlertReceiver:
    receiver = AlertReceiver("")
    receiver.verify = lambda _request, _body: None  # Alertmanager does not sign
    return receiver


@pytest.fixture
def prometheus(watched: StackProcess, receiver: AlertReceiver, tmp_path: Path) -> Iterator[str]:
    """A Prometheus and an Alertmanager with our files, but for addresses and haste; the address of the former."""
    port, manager = free_port(), free_port()
    jobs = {API_JOB: processes(watched, "api"), WORKER_JOB: processes(watched, "workers")}
    config = changed(
        DEPLOY / "prometheus/prometheus.yml",
        **{"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}},
        alerting={"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]},
    )
    assert {job["job_name"] for job in config["scrape_configs"]} == set(jobs)
    config["scrape_configs"] = [
        {"job_name": name, "static_configs": [{"targets": targets}]} for name, targets in jobs.items()
    ]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    rules = subprocess.run(
        [sys.executable, "-m", "parley", "alert-rules"],
        env={**os.environ, "PARLEY_ALERT_RULES": CHANGES},
        capture_output=True,
        text=True,
        check=True,
    )
    assert rules.stdout == rules_text(parsed(CHANGES))  # type: ignore[arg-type]  # of a text it returns rules
    (tmp_path / "rules.yml").write_text(rules.stdout)
    alerting = changed(DEPLOY / "alertmanager/alertmanager.yml")
    alerting["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    alerting["receivers"][0]["webhook_configs"][0]["url"] = receiver.url
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alerting))
    with ExitStack() as stack:
        stack.enter_context(
            serving(
                program("prometheus-alertmanager"),
                f"--config.file={tmp_path / 'alertmanager.yml'}",
                f"--storage.path={tmp_path / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{manager}",
                "--cluster.listen-address=",
                log=tmp_path / "alertmanager.log",
            )
        )
        stack.enter_context(
            serving(
                program("prometheus"),
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                log=tmp_path / "prometheus.log",
            )
        )
        yield f"http://127.0.0.1:{port}"


async def answer(http: httpx.AsyncClient, prometheus: str, query: str) -> list[Json]:
    """Return the samples of a query; none while Prometheus does not answer yet."""
    try:
        response = await http.get(f"{prometheus}/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    found: list[Json] = response.json()["data"]["result"] if response.status_code == 200 else []
    return found


async def told(receiver: AlertReceiver, name: str, status: str) -> Json:
    """Return the alert that Alertmanager has told the webhook of, when it has."""
    async with asyncio.timeout(SECONDS):
        while True:
            for request in receiver.requests:
                for alert in request["alerts"]:
                    if (alert["labels"]["alertname"], alert["status"]) == (name, status):
                        found: Json = alert
                        return found
            await asyncio.sleep(0.2)


@pytest.mark.slow
async def test_a_part_that_stands_still_is_told_by_alertmanager_and_so_is_its_return(
    watched: StackProcess, prometheus: str, receiver: AlertReceiver
) -> None:
    async with receiver.running(), httpx.AsyncClient(timeout=10) as http:
        async with asyncio.timeout(SECONDS):
            while len(await answer(http, prometheus, 'parley_component_up{component="kafka"} == 1')) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        before = await answer(http, prometheus, 'ALERTS{alertstate="firing"}')
        with watched.stopped("kafka"):
            firing = await told(receiver, "KafkaDown", "firing")
        resolved = await told(receiver, "KafkaDown", "resolved")

    assert before == []
    assert firing["labels"]["severity"] == "warning"
    assert re.fullmatch(r"Kafka does not answer [1-4] of the processes\.", firing["annotations"]["summary"])
    assert resolved["fingerprint"] == firing["fingerprint"]
