"""Checks resources that are not Kubernetes's own against the definitions of whose they are, with .tools/lint's Python.

Reads manifests and prints a line for each thing that a definition does not know or does not allow.
"""

import sys

import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

KINDS = {
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRule,
}


def wrong(resource: dict) -> list[str]:
    """Return what is wrong with a resource; nothing of one that is Kubernetes's own."""
    model = KINDS.get((resource["apiVersion"], resource["kind"]))
    if model is None:
        return []
    try:
        known = model.model_validate(resource).model_dump(by_alias=True, exclude_unset=True, mode="json")
    except ValueError as error:
        return [str(error)]
    return lost(resource, known, resource["kind"])


def lost(given: object, known: object, path: str) -> list[str]:
    """Return the places of what was given that a definition does not know: it is silent about them."""
    if isinstance(given, dict) and isinstance(known, dict):
        found = [f"{path}.{name} is unknown" for name in given.keys() - known.keys()]
        return found + [
            line for name in given.keys() & known.keys() for line in lost(given[name], known[name], f"{path}.{name}")
        ]
    if isinstance(given, list) and isinstance(known, list):
        return [
            line
            for number, (one, other) in enumerate(zip(given, known, strict=True))
            for line in lost(one, other, f"{path}[{number}]")
        ]
    return [] if given == known else [f"{path} is {given!r}, and means {known!r}"]


if __name__ == "__main__":
    problems = [line for resource in yaml.safe_load_all(sys.stdin) for line in wrong(resource)]
    print("\n".join(problems))
    sys.exit(bool(problems))
