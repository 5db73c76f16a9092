"""`make lint` refuses a manifest that Kubernetes would not take, or that gives a pod more than it needs; ours are right."""

from __future__ import annotations

import copy
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ingest_email.app import mail_accounts
from notifier.app import sending_accounts
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.settings import load_settings
from threadline_runtime.testing.requirements import require_programs

ROOT = Path(__file__).resolve().parents[2]
Manifests = list[dict[str, Any]]


@pytest.fixture(scope="module")
def check_deploy() -> Iterator[ModuleType]:
    require_programs("kubectl", package="kubectl")
    sys.path.insert(0, str(ROOT / "tools"))
    yield importlib.import_module("check_deploy")
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def dev(check_deploy: ModuleType) -> Manifests:
    rendered: Manifests = check_deploy.render(ROOT / "deploy" / "k8s" / "overlays" / "dev")
    return rendered


def of(manifests: Manifests, kind: str, name: str) -> dict[str, Any]:
    return next(each for each in manifests if each["kind"] == kind and each["metadata"]["name"].startswith(name))


def router(manifests: Manifests) -> dict[str, Any]:
    pod: dict[str, Any] = of(manifests, "Deployment", "router")["spec"]["template"]["spec"]
    return pod


def test_ours_are_right(check_deploy: ModuleType) -> None:
    assert [folder.name for folder in check_deploy.folders(ROOT / "deploy" / "k8s")] == [
        "ingest-email",
        "migrate",
        "notifier",
        "router",
        "settings",
        "dev",
    ]
    assert check_deploy.check(ROOT / "deploy" / "k8s") == []


def _excepted(manifests: Manifests, block: int) -> list[str]:
    """What a service may not reach of a range that it may."""
    excepted: list[str] = of(manifests, "NetworkPolicy", "notifier")["spec"]["egress"][0]["to"][block]["ipBlock"]["except"]
    return excepted


WRONG: dict[str, Callable[[Manifests], object]] = {
    "runAsNonRoot must be True": lambda all_: router(all_)["securityContext"].pop("runAsNonRoot"),
    "runAsUser must be 10000 or more": lambda all_: router(all_)["securityContext"].update(runAsUser=0),
    "seccompProfile.type must be RuntimeDefault": lambda all_: router(all_)["securityContext"].pop("seccompProfile"),
    "automountServiceAccountToken must be False": lambda all_: router(all_).pop("automountServiceAccountToken"),
    "hostNetwork is not for us": lambda all_: router(all_).update(hostNetwork=True),
    "is a hostPath": lambda all_: router(all_)["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
    "readOnlyRootFilesystem must be True": lambda all_: router(all_)["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"),
    "capabilities.drop must be ['ALL']": lambda all_: router(all_)["containers"][0]["securityContext"].pop("capabilities"),
    "allowPrivilegeEscalation must be False": lambda all_: router(all_)["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "it asks for more rights": lambda all_: router(all_)["containers"][0]["securityContext"].update(privileged=True),
    "resources.limits.memory is missing": lambda all_: router(all_)["containers"][0]["resources"].pop("limits"),
    "livenessProbe must ask /livez": lambda all_: router(all_)["containers"][0]["livenessProbe"]["httpGet"].update(path="/readyz"),
    "readinessProbe must ask /readyz": lambda all_: router(all_)["containers"][0].pop("readinessProbe"),
    "names no version": lambda all_: router(all_)["containers"][0].update(image="threadline/router:latest"),
    "THREADLINE_SIGNING_KEYS is written down": lambda all_: router(all_)["containers"][0]["env"].append(
        {"name": "THREADLINE_SIGNING_KEYS", "value": "6b6b"}
    ),
    "holds a URL with a password": lambda all_: of(all_, "ConfigMap", "threadline-settings")["data"].update(
        THREADLINE_DATABASE__URL="mongodb://threadline:geheim@mongo/threadline"
    ),
    "a Secret is made by whoever runs the cluster": lambda all_: all_.append(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"a": "b"}}
    ),
    "podSelector.matchLabels is empty": lambda all_: of(all_, "NetworkPolicy", "router")["spec"].update(podSelector={}),
    "::ffff:0:0/96 is no part of ::/0": lambda all_: _excepted(all_, 1).append("::ffff:0:0/96"),
    "8.0.0.0/6 is no part of 10.0.0.0/8": lambda all_: of(all_, "NetworkPolicy", "threadline-stores")["spec"]["egress"][0]["to"][0][
        "ipBlock"
    ].update({"except": ["8.0.0.0/6"]}),
    "fc00::/7 is no part of 0.0.0.0/0": lambda all_: _excepted(all_, 0).append("fc00::/7"),
    "spec.selector.matchLabels is empty": lambda all_: of(all_, "PodDisruptionBudget", "router")["spec"].update(selector={}),
    "PodDisruptionBudget/router is missing": lambda all_: all_.remove(of(all_, "PodDisruptionBudget", "router")),
    "NetworkPolicy/notifier is missing": lambda all_: all_.remove(of(all_, "NetworkPolicy", "notifier")),
    "ServiceAccount/migrate is not there": lambda all_: all_.remove(of(all_, "ServiceAccount", "migrate")),
    "PersistentVolumeClaim/threadline-blobs is not there": lambda all_: all_.remove(of(all_, "PersistentVolumeClaim", "threadline-blobs")),
}


@pytest.mark.parametrize("line", WRONG)
def test_each_breach_of_our_rules_is_one_line(check_deploy: ModuleType, dev: Manifests, line: str) -> None:
    manifests = copy.deepcopy(dev)
    WRONG[line](manifests)
    assert [each for each in check_deploy.breaches(manifests, whole=True) if line in each]
    assert check_deploy.breaches(dev, whole=True) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("readinesProbe", {"httpGet": {"path": "/readyz", "port": "ops"}}, "readinesProbe"),
        ("ports", [{"name": "ops", "containerPort": "nine"}], "containerPort"),
    ],
)
def test_a_misspelled_field_and_a_wrong_value_are_found(
    check_deploy: ModuleType, dev: Manifests, path: str, value: object, line: str
) -> None:
    manifests = copy.deepcopy(dev)
    router(manifests)["containers"][0][path] = value
    assert any(line in each for each in check_deploy.schema_breaches(manifests))
    assert not list(check_deploy.schema_breaches(dev))


def test_a_folder_that_cannot_be_rendered_is_named(check_deploy: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "base" / "router"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["missing.yaml"]}))
    assert any("base/router: cannot be rendered" in line for line in check_deploy.check(tmp_path))


def test_without_kubectl_it_says_so_and_in_ci_that_is_a_failure() -> None:
    program, bare = [sys.executable, str(ROOT / "tools" / "check_deploy.py")], {"PATH": "/nowhere"}
    said = subprocess.run(program, env=bare, capture_output=True, text=True, check=False)
    assert (said.returncode, "kubectl is missing" in said.stderr) == (0, True)
    required = subprocess.run(program, env={**bare, "THREADLINE_REQUIRE_SERVICES": "1"}, capture_output=True, text=True, check=False)
    assert required.returncode == 1


def given(manifests: Manifests, container: dict[str, Any]) -> dict[str, str]:
    """The environment of a container, with a made-up value for what a Secret gives."""
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= of(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", []):
        found[one["name"]] = one.get("value", "mongodb://mongo:27017/threadline")
    return found


@pytest.mark.parametrize(
    ("kind", "name"), [("Deployment", "router"), ("Deployment", "ingest-email"), ("Deployment", "notifier"), ("Job", "migrate")]
)
def test_our_settings_are_taken_and_every_file_they_name_is_mounted(
    dev: Manifests, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    pod = of(dev, kind, name)["spec"]["template"]["spec"]
    for variable in [each for each in os.environ if each.startswith("THREADLINE_")]:
        monkeypatch.delenv(variable)
    for variable, value in given(dev, pod["containers"][0]).items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.bus.address == "kafka://kafka:9092"
    assert (settings.signing_keys is not None) == (name == "router")
    secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    mounted = {f"/run/secrets/threadline/{item['path']}" for secret in secrets for item in secret["items"]}
    accounts = of(dev, "ConfigMap", "threadline-accounts")["data"]["threadline.yaml"]
    named = {"router": {str(settings.signing_keys)}, "migrate": set()}.get(name, set(re.findall(r"file:/[^\"]+", accounts)))
    assert {f"file:{path}" for path in mounted} == named


def test_the_accounts_file_is_one(dev: Manifests, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    text = of(dev, "ConfigMap", "threadline-accounts")["data"]["threadline.yaml"]
    (tmp_path / "threadline.yaml").write_text(re.sub(r"file:/[^\"]+", f"file:{tmp_path}/password", text))
    configuration = load_configuration(tmp_path / "threadline.yaml")
    assert len(mail_accounts(configuration, {})) == 1
    assert len(sending_accounts(configuration, {})) == 1
