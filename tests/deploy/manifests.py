"""What the overlays of deploy/kubernetes come to, and what is amiss in it that no schema knows."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.programs import ROOT, program

KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
SECRET = "parley"  # made by hand, of the files of `make secrets`

type Resource = dict[str, Any]


def rendered(directory: Path) -> str:
    """Return the manifests of a kustomization."""
    done = subprocess.run(
        [program("kubectl"), "kustomize", directory], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def resources(text: str) -> list[Resource]:
    return list(yaml.safe_load_all(text))


def of_kind(found: list[Resource], kind: str) -> dict[str, Resource]:
    """Return the resources of a kind by their names."""
    return {resource["metadata"]["name"]: resource for resource in found if resource["kind"] == kind}


def pods(found: list[Resource]) -> dict[str, Resource]:
    """Return what pods are made of, by the name of what makes them."""
    makers = of_kind(found, "Deployment") | of_kind(found, "Job")
    return {name: maker["spec"]["template"] for name, maker in makers.items()}


def container(pod: Resource) -> Resource:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def settings(found: list[Resource]) -> dict[str, str]:
    """Return the variables that all processes get."""
    ((_, only),) = of_kind(found, "ConfigMap").items()
    data: dict[str, str] = only["data"]
    return data


def broken(found: list[Resource], secrets: set[str]) -> list[str]:
    """Return what manifests refer to and do not have."""
    templates, services = pods(found), of_kind(found, "Service")
    lines = [
        *(line for name, pod in templates.items() for line in _broken_pod(name, pod, found, secrets)),
        *(f"service {name} selects nobody" for name, each in services.items() if not _selected(each, templates)),
        *(line for name, each in services.items() for line in _broken_ports(name, each, templates)),
        *_broken_monitors(found, services),
    ]
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for name, scaler in of_kind(found, kind).items():
            target = scaler["spec"]["scaleTargetRef"]["name"]
            if target not in of_kind(found, "Deployment"):
                lines.append(f"{kind} {name} scales {target}, which is missing")
            elif "replicas" in of_kind(found, "Deployment")[target]["spec"]:
                lines.append(f"{target} has a number of its own, against {kind} {name}")
    for name, ingress in of_kind(found, "Ingress").items():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                to = path["backend"]["service"]
                ports = services.get(to["name"], {"spec": {"ports": ()}})["spec"]["ports"]
                if to["port"]["name"] not in {port["name"] for port in ports}:
                    lines.append(f"ingress {name} leads to {to['name']}:{to['port']['name']}, which is missing")
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for name, each in of_kind(found, kind).items():
            selector = each["spec"].get("selector") or each["spec"]["podSelector"]
            if not any(_matches(selector.get("matchLabels", {}), pod) for pod in templates.values()):
                lines.append(f"{kind} {name} selects nobody")
    return sorted(lines)


def _broken_pod(name: str, pod: Resource, found: list[Resource], secrets: set[str]) -> list[str]:
    spec, only = pod["spec"], container(pod)
    lines, mounts = list[str](), {mount["name"]: mount["mountPath"] for mount in only["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    lines += [f"{name} mounts {volume}, which is missing" for volume in mounts.keys() - volumes.keys()]
    given = set[str]()
    for volume in volumes.values():
        for item in volume.get("secret", {}).get("items", ()):
            if volume["secret"]["secretName"] != SECRET or item["key"] not in secrets:
                lines.append(f"{name} mounts the secret {item['key']}, which nobody makes")
            given.add(f"{mounts[volume['name']]}/{item['path']}")
    if spec["serviceAccountName"] not in of_kind(found, "ServiceAccount"):
        lines.append(f"{name} runs as {spec['serviceAccountName']}, which is missing")
    for source in only["envFrom"]:
        if source["configMapRef"]["name"] not in of_kind(found, "ConfigMap"):
            lines.append(f"{name} reads {source['configMapRef']['name']}, which is missing")
    passwords = {"PARLEY_MONGO_PASSWORD_FILE", "PARLEY_REDIS_PASSWORD_FILE"}  # what every process opens as it starts
    lines += [
        f"{name} opens {value} and is not given it"
        for variable, value in settings(found).items()
        if variable in passwords and value not in given
    ]
    ports = {port["name"] for port in only.get("ports", ())}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe in only and only[probe]["httpGet"]["port"] not in ports:
            lines.append(f"{name} is asked at {only[probe]['httpGet']['port']}, which is no port of it")
    return lines


def _broken_ports(name: str, service: Resource, templates: dict[str, Resource]) -> list[str]:
    lines = list[str]()
    for pod in _selected(service, templates):
        there = {port["name"]: port["containerPort"] for port in container(pod).get("ports", ())}
        for port in service["spec"]["ports"]:
            if there.get(port["targetPort"]) != port["port"]:
                lines.append(f"service {name} says {port['port']}, the container {there.get(port['targetPort'])}")
    return lines


def _broken_monitors(found: list[Resource], services: dict[str, Resource]) -> list[str]:
    lines = list[str]()
    for name, monitor in of_kind(found, "ServiceMonitor").items():
        wanted = {rule["key"]: rule["values"] for rule in monitor["spec"]["selector"]["matchExpressions"]}
        chosen = [
            each
            for each in services.values()
            if all(each["metadata"]["labels"].get(key) in values for key, values in wanted.items())
        ]
        if len(chosen) != len(wanted["app.kubernetes.io/component"]):
            lines.append(f"ServiceMonitor {name} finds {len(chosen)} services")
        for endpoint in monitor["spec"]["endpoints"]:
            for each in chosen:
                if endpoint["port"] not in {port["name"] for port in each["spec"]["ports"]}:
                    lines.append(f"{each['metadata']['name']} has no port {endpoint['port']} to be scraped at")
    return lines


def _selected(service: Resource, templates: dict[str, Resource]) -> list[Resource]:
    return [pod for pod in templates.values() if _matches(service["spec"]["selector"], pod)]


def _matches(labels: dict[str, str], pod: Resource) -> bool:
    worn: dict[str, str] = pod["metadata"]["labels"]
    return labels.items() <= worn.items()


def seconds(time: str) -> int:
    """Return what a time of nginx's is in seconds."""
    number, unit = re.fullmatch(r"(\d+)(s|m)?", time).groups()  # type: ignore[union-attr]  # then the test fails
    return int(number) * (60 if unit == "m" else 1)
