"""Checks of compose files and of Kubernetes manifests, as far as the documentation uses them."""

from collections.abc import Iterator
from typing import Any

#: The kinds that are shown, and their fields beside those that all have.
KINDS = {
    ("v1", "ConfigMap"): {"data"},
    ("v1", "Secret"): {"stringData", "type"},
    ("v1", "Service"): {"spec"},
    ("apps/v1", "Deployment"): {"spec"},
    ("apps/v1", "StatefulSet"): {"spec"},
}
WORKLOAD = {
    "replicas",
    "selector",
    "strategy",
    "template",
    "serviceName",
    "minReadySeconds",
    "volumeClaimTemplates",
}
POD = {"containers", "terminationGracePeriodSeconds", "volumes", "securityContext", "affinity"}
CONTAINER = {
    *("name", "image", "command", "args", "env", "envFrom", "ports", "readinessProbe", "livenessProbe"),
    *("resources", "volumeMounts", "securityContext", "startupProbe"),
}
COMPOSE = {"name", "services", "volumes", "networks", "x-zookeeper", "x-service"}
COMPOSE_SERVICE = {
    *("build", "command", "depends_on", "environment", "expose", "healthcheck", "hostname", "image", "init"),
    *("ports", "restart", "stop_grace_period", "volumes", "user", "read_only", "tmpfs", "deploy", "scale"),
    *("cap_drop", "security_opt", "networks", "entrypoint", "stop_signal"),
}


def problems(document: Any) -> list[str]:
    """Say what is wrong with a document, which is a compose file or a manifest; nothing if it is neither."""
    if "services" in document:
        return [*_compose(document)]
    return [*_manifest(document)] if "kind" in document else []


def _unknown(where: str, given: Any, known: set[str]) -> Iterator[str]:
    yield from (f"{where} has no field {name}" for name in set(given) - known)


def _compose(document: Any) -> Iterator[str]:
    yield from _unknown("a compose file", document, COMPOSE)
    services = document["services"]
    for name, service in services.items():
        yield from _unknown(name, service, COMPOSE_SERVICE)
        if not {"image", "build"} & set(service):
            yield f"{name} has no image"
        needed = set(service.get("depends_on", ()))
        yield from (f"{name} depends on {other}" for other in needed - set(services))
        for volume in service.get("volumes", ()):
            source = str(volume).partition(":")[0]
            if not source.startswith((".", "/")) and source not in document.get("volumes", {}):
                yield f"{name}: no volume {source}"


def _manifest(document: Any) -> Iterator[str]:
    kind = (document.get("apiVersion"), document["kind"])
    if kind not in KINDS:
        yield f"{kind} isn't a kind that is checked"
        return
    yield from _unknown(document["kind"], document, KINDS[kind] | {"apiVersion", "kind", "metadata"})
    if not document.get("metadata", {}).get("name"):
        yield f"{document['kind']} has no name"
    if document["kind"] in {"Deployment", "StatefulSet"}:
        yield from _workload(document["spec"])


def _workload(spec: Any) -> Iterator[str]:
    yield from _unknown("the spec", spec, WORKLOAD)
    template = spec["template"]
    if spec["selector"]["matchLabels"].items() - template["metadata"]["labels"].items():
        yield "the selector doesn't select the pods"
    pod = template["spec"]
    yield from _unknown("the pod", pod, POD)
    mounted = {mount["name"] for one in pod["containers"] for mount in one.get("volumeMounts", ())}
    volumes = {volume["name"] for volume in (*pod.get("volumes", ()),)}
    claimed = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())}
    yield from (f"no volume {name}" for name in mounted - volumes - claimed)
    for container in pod["containers"]:
        yield from _unknown("a container", container, CONTAINER)
        for variable in container.get("env", ()):
            if "name" not in variable or not {"value", "valueFrom"} & set(variable):
                yield f"a variable without name or value: {variable}"
            if "value" in variable and not isinstance(variable["value"], str):
                yield f"{variable['name']} isn't a text"
