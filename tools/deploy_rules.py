"""What must hold of our Kubernetes manifests beyond their schema: confined pods, no secret in plain, nothing selected by accident.

Pure: manifests in, one line a breach out. Not here: rendering them and their schemas (`check_deploy`).
"""

# ruff: noqa: INP001 - a script's module, not a package

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Manifest: TypeAlias = Mapping[str, object]

CONFINED_POD = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext.runAsNonRoot": True,
    "securityContext.seccompProfile.type": "RuntimeDefault",
}
CONFINED_CONTAINER = {
    "securityContext.allowPrivilegeEscalation": False,
    "securityContext.readOnlyRootFilesystem": True,
    "securityContext.capabilities.drop": ["ALL"],
}
FORBIDDEN_IN_PODS = ("hostNetwork", "hostPID", "hostIPC")
LOWEST_USER = 10000
WORKLOADS = ("Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob")
SELECTORS = {
    "NetworkPolicy": "spec.podSelector.matchLabels",
    "PodDisruptionBudget": "spec.selector.matchLabels",
    "Service": "spec.selector",
}
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|KEYS?$|CREDENTIAL", re.IGNORECASE)
URL_WITH_PASSWORD = re.compile(r"\w+://[^/\s:@]+:[^@\s]+@")
PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def at(manifest: object, path: str) -> object:
    """What stands there, None where nothing does."""
    for step in path.split("."):
        if not isinstance(manifest, Mapping):
            return None
        manifest = manifest.get(step)
    return manifest


def listed(manifest: object, path: str) -> Sequence[object]:
    """The list that stands there, empty where none does."""
    found = at(manifest, path)
    return found if isinstance(found, list) else []


def named(manifest: Manifest) -> str:
    """Kind and name, for a line that somebody reads."""
    return f"{manifest.get('kind')}/{at(manifest, 'metadata.name')}"


def pod_of(manifest: Manifest) -> object:
    """The pod's own part of a workload."""
    return at(manifest, "spec.template.spec")


def confinement_breaches(manifest: Manifest) -> Iterator[str]:
    """A pod runs as nobody, reads only, and can get no more rights: `restricted`, and a root that cannot be written."""
    pod = pod_of(manifest)
    yield from (f"pod: {path} must be {value}" for path, value in CONFINED_POD.items() if at(pod, path) != value)
    user = at(pod, "securityContext.runAsUser")
    if not isinstance(user, int) or user < LOWEST_USER:
        yield f"pod: securityContext.runAsUser must be {LOWEST_USER} or more, so that it is nobody on the node"
    yield from (f"pod: {key} is not for us" for key in FORBIDDEN_IN_PODS if at(pod, key))
    yield from (f"pod: volume {at(volume, 'name')} is a hostPath" for volume in listed(pod, "volumes") if at(volume, "hostPath"))
    for container in (*listed(pod, "containers"), *listed(pod, "initContainers")):
        yield from (f"container: {path} must be {value}" for path, value in CONFINED_CONTAINER.items() if at(container, path) != value)
        if at(container, "securityContext.capabilities.add") or at(container, "securityContext.privileged"):
            yield "container: it asks for more rights"
        yield from (
            f"container: resources.{path} is missing"
            for path in ("requests.cpu", "requests.memory", "limits.memory")
            if at(container, f"resources.{path}") is None
        )


def probe_breaches(manifest: Manifest) -> Iterator[str]:
    """Liveness never asks whether Kafka or MongoDB are up: that is what readiness is for."""
    if manifest.get("kind") != "Deployment":
        return
    for container in listed(pod_of(manifest), "containers"):
        for probe, path in PROBES.items():
            if at(container, f"{probe}.httpGet.path") != path:
                yield f"container: {probe} must ask {path}"


def secret_breaches(manifest: Manifest) -> Iterator[str]:
    """A secret is named, never written down."""
    if manifest.get("kind") == "Secret":
        yield "a Secret is made by whoever runs the cluster, not here"
    settings = at(manifest, "data") if manifest.get("kind") == "ConfigMap" else None
    texts = dict(settings) if isinstance(settings, Mapping) else {}
    for container in listed(pod_of(manifest), "containers"):
        texts |= {str(at(one, "name")): at(one, "value") for one in listed(container, "env") if at(one, "value") is not None}
    for name, value in texts.items():
        if SECRET_NAME.search(str(name)) and not str(value).startswith("file:"):
            yield f"{name} is written down: use a secretKeyRef or a file of a mounted Secret"
        if URL_WITH_PASSWORD.search(str(value)):
            yield f"{name} holds a URL with a password"


def selection_breaches(manifest: Manifest) -> Iterator[str]:
    """An empty selector takes every pod of the namespace."""
    path = SELECTORS.get(str(manifest.get("kind")))
    if path is not None and not at(manifest, path):
        yield f"{path} is empty: it would select every pod"


def range_breaches(manifest: Manifest) -> Iterator[str]:
    """Kubernetes takes an exception only inside its range, and finds none written as IPv6 inside it that means IPv4."""
    if manifest.get("kind") != "NetworkPolicy":
        return
    peers = [peer for rule in listed(manifest, "spec.egress") for peer in listed(rule, "to")]
    peers += [peer for rule in listed(manifest, "spec.ingress") for peer in listed(rule, "from")]
    for peer in peers:
        whole = at(peer, "ipBlock.cidr")
        for part in listed(peer, "ipBlock.except"):
            if not _strictly_inside(str(part), str(whole)):
                yield f"{part} is no part of {whole} as Kubernetes reads it"


def _strictly_inside(part: str, whole: str) -> bool:
    inner, outer = ipaddress.ip_network(part), ipaddress.ip_network(whole)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.network_address.ipv4_mapped is None and inner != outer and inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner != outer and inner.subnet_of(outer)
    return False


def company_breaches(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Each Deployment has an account of its own, a disruption budget and a network policy; what pods name is there."""
    there = {(str(each.get("kind")), str(at(each, "metadata.name"))) for each in manifests}
    for manifest in manifests:
        pod, name = pod_of(manifest), str(at(manifest, "metadata.name"))
        if manifest.get("kind") == "Deployment":
            wanted = [("ServiceAccount", name), ("PodDisruptionBudget", name), ("NetworkPolicy", name)]
            yield from (f"{named(manifest)}: {kind}/{each} is missing" for kind, each in wanted if (kind, each) not in there)
        if manifest.get("kind") not in WORKLOADS:
            continue
        references = [("ServiceAccount", at(pod, "serviceAccountName"))]
        for container in listed(pod, "containers"):
            references += [("ConfigMap", at(one, "configMapRef.name")) for one in listed(container, "envFrom")]
            if ":" not in str(at(container, "image")) or str(at(container, "image")).endswith(":latest"):
                yield f"{named(manifest)}: {at(container, 'image')} names no version"
        for volume in listed(pod, "volumes"):
            references += [
                ("ConfigMap", at(volume, "configMap.name")),
                ("PersistentVolumeClaim", at(volume, "persistentVolumeClaim.claimName")),
            ]
        yield from (
            f"{named(manifest)}: {kind}/{each} is not there" for kind, each in references if each and (kind, str(each)) not in there
        )


def breaches(manifests: Sequence[Manifest], *, whole: bool) -> list[str]:
    """Every breach, one line each; `whole` where the manifests are all of an installation, as an overlay's are."""
    found: list[str] = []
    for manifest in manifests:
        checks = [secret_breaches, selection_breaches, range_breaches]
        if manifest.get("kind") in WORKLOADS:
            checks += [confinement_breaches, probe_breaches]
        found += [f"{named(manifest)}: {line}" for check in checks for line in check(manifest)]
    return [*found, *(company_breaches(manifests) if whole else ())]
