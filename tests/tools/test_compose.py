"""`docker-compose.yml`: a start order that waits for health, every service confined, settings and accounts our code takes, no secret."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ingest_email.app import mail_accounts
from notifier.app import sending_accounts
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.settings import load_settings
from threadline_runtime.signing import load_signing_keys

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose"
OURS = {"router": "services/router", "ingest-email": "services/ingest-email", "notifier": "services/notifier", "threadline": "cli"}
DONE, HEALTHY = "service_completed_successfully", "service_healthy"
# Each given by itself replaces the image's whole configuration, so one that is missing has no value at all.
KAFKA_NEEDS = {
    "CLUSTER_ID",
    "KAFKA_NODE_ID",
    "KAFKA_PROCESS_ROLES",
    "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_LISTENERS",
    "KAFKA_ADVERTISED_LISTENERS",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_INTER_BROKER_LISTENER_NAME",
    "KAFKA_CONTROLLER_LISTENER_NAMES",
    "KAFKA_LOG_DIRS",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def test_every_image_names_its_version_and_ours_are_those_of_make_images(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[a-z/-]+:(\d+\.\d+[.\d]*|\$\{THREADLINE_TAG:-dev\})", service["image"]), name
    for name, folder in OURS.items():
        service = compose["services"][name]
        assert service["image"].startswith(f"threadline/{name}:")
        assert service["build"] == {"context": ".", "dockerfile": f"{folder}/Dockerfile"}
        assert (ROOT / folder / "Dockerfile").exists()
    makefile = (ROOT / "Makefile").read_text()
    assert f"IMAGES := {' '.join(f'{name}={OURS[name]}' for name in ('ingest-email', 'router', 'notifier', 'threadline'))}" in makefile


def test_everything_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    """A service starts when Kafka and MongoDB are well and the topics are made."""
    services = compose["services"]
    for name in ("router", "ingest-email", "notifier", "threadline"):
        needs = {other: how["condition"] for other, how in services[name]["depends_on"].items()}
        assert needs.items() >= {"kafka": HEALTHY, "mongo": HEALTHY, "migrate": DONE}.items()
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == DONE if other == "migrate" else "healthcheck" in services[other], (name, other)
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"migrate", "threadline"}
    assert services["migrate"]["restart"] == "no"


def test_our_containers_are_nobody_and_write_nothing(compose: dict[str, Any]) -> None:
    for name in (*OURS, "migrate"):
        service = compose["services"][name]
        assert (service["read_only"], service["user"], service["cap_drop"]) == (True, "10001:10001", ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
        # A service drains for 20 s.
        assert int(service["stop_grace_period"].removesuffix("s")) > 25


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_our_settings_are_taken(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OURS, "migrate"):
        with monkeypatch.context() as patched:
            for variable in [each for each in os.environ if each.startswith("THREADLINE_")]:
                patched.delenv(variable)
            for variable, value in environment_of(compose["services"][name]).items():
                patched.setenv(variable, value)
            settings = load_settings()
        assert (settings.bus.address, settings.database.address) == (
            "kafka://kafka:9092",
            "mongodb://mongo:27017/threadline?replicaSet=rs0",
        )


def test_kafka_is_told_everything_and_makes_no_topic_by_itself(compose: dict[str, Any]) -> None:
    told = environment_of(compose["services"]["kafka"])
    assert not KAFKA_NEEDS - set(told)
    assert told["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    data = {mount.partition(":")[2] for mount in compose["services"]["kafka"]["volumes"]}
    assert told["KAFKA_LOG_DIRS"] in data
    assert all(
        mount.partition(":")[0] in compose["volumes"] for name in ("kafka", "mongo") for mount in compose["services"][name]["volumes"]
    )


def test_secrets_are_files_that_the_script_makes_and_our_code_takes(compose: dict[str, Any], tmp_path: Path) -> None:
    """The accounts file loads as it stands; the only password written down is that of the mail server which is made for trying."""
    script = tmp_path / "make_secrets.sh"
    script.write_bytes((COMPOSE / "make_secrets.sh").read_bytes())
    for _ in range(2):
        subprocess.run(["bash", str(script)], check=True, capture_output=True, timeout=30)
    made = {name: tmp_path / Path(secret["file"]).relative_to("deploy/compose") for name, secret in compose["secrets"].items()}
    assert all(path.exists() for path in made.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    load_signing_keys(f"file:{made['signing_keys']}", {})
    accounts = (COMPOSE / "threadline.yaml").read_text()
    for name, path in made.items():
        accounts = accounts.replace(f"/run/secrets/{name}", str(path))
    (tmp_path / "threadline.yaml").write_text(accounts)
    configuration = load_configuration(tmp_path / "threadline.yaml")
    mailbox = mail_accounts(configuration, {})[0]
    assert sending_accounts(configuration, {})
    assert f"support:{mailbox.imap.password.get_secret_value()}@acme.test" in environment_of(compose["services"]["mail"])["GREENMAIL_OPTS"]
    for name in OURS:
        used = set(compose["services"][name].get("secrets", []))
        assert used <= set(compose["secrets"])
        assert not any(re.search("PASSWORD|SECRET|_KEY$", variable) for variable in environment_of(compose["services"][name]))
