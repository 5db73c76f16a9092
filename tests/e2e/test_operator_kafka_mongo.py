"""Kafka or the database is absent, wrong, or goes away: `/readyz`, log and `check` say what, nothing restarts, all goes on by itself."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from threadline_cli.testing.alone import SERVICES, RouterAlone, ServiceAlone, Site
from threadline_cli.testing.letters import mail, received
from threadline_cli.testing.own_process import OwnProcess
from threadline_cli.testing.standalone import MailAccount, Standalone, accounts_file, threadline_here
from threadline_events import topics
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.testing.kafka import Kafka
from threadline_runtime.testing.kafka_jars import require_kafka
from threadline_runtime.testing.mail_world import ANN, SUPPORT, MailWorld
from threadline_runtime.testing.mongodb import MongoServer, database_url, require_mongodb

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(300)]
NO_ACCOUNTS = "brands:\n  acme: {name: Acme}\naccounts: []\n"


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    """Not started yet."""
    require_kafka()
    made = Kafka()
    yield made
    made.close()


@pytest.fixture
def mongodb() -> Iterator[MongoServer]:
    """Not started yet."""
    require_mongodb()
    made = MongoServer()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, mongodb: MongoServer) -> Site:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(NO_ACCOUNTS)
    return Site(tmp_path, configuration, kafka.url, database_url(mongodb.url, "threadline"))


def each_alone(site: Site) -> list[OwnProcess]:
    return [RouterAlone(site), *(ServiceAlone(site, package, package) for package in SERVICES if package != "router")]


@contextmanager
def started(processes: Sequence[OwnProcess]) -> Iterator[None]:
    """Not waited for: what they need is not there."""
    with ExitStack() as stack:
        for process in processes:
            stack.callback(process.kill)
            process.start(wait=False)
        yield


def says(process: OwnProcess, reason: str, within: float = 40.0) -> None:
    """`/readyz` and the log name the reason, and the process lives."""
    process.until(f"{reason!r} in /readyz", lambda: (said := process.asked("/readyz")) is not None and reason in said.text, within)
    alive = process.asked("/livez")
    assert alive is not None
    assert alive.status_code == 200, alive.text
    process.until(f"{reason!r} in the log", lambda: reason in process.said())


def is_well(process: OwnProcess, within: float = 60.0) -> None:
    process.until("readiness", lambda: (said := process.asked("/readyz")) is not None and said.status_code == 200, within)


def check(site: Site) -> dict[str, str | None]:
    """What `threadline check` finds wrong, by name."""
    done = threadline_here("check", "--json", "--config", str(site.configuration), env=site.env())
    found: dict[str, str | None] = {row["check"]: row["problem"] for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == (1 if any(found.values()) else 0)
    return found


def flood_of(process: OwnProcess) -> list[str]:
    """Warnings that were written twice within a minute."""
    last: dict[str, datetime] = {}
    found = []
    for row in (json.loads(line) for line in process.said().splitlines() if line.startswith("{")):
        at, line = datetime.fromisoformat(row.pop("timestamp")), json.dumps({**row, "failures": None}, sort_keys=True)
        if row["level"] != "info" and at - last.get(line, datetime.min.replace(tzinfo=UTC)) < timedelta(seconds=59):
            found.append(line)
        last[line] = at
    return found


def test_kafka_absent_at_the_start_then_without_topics_then_there(site: Site, kafka: Kafka, mongodb: MongoServer) -> None:
    """Issue 5: every service waits alive, says why once, and goes on by itself."""
    mongodb.start()
    alone = each_alone(site)
    with started(alone):
        for process in alone:
            says(process, "no server of THREADLINE_BUS__URL")
        assert "no server of THREADLINE_BUS__URL" in (check(site)["bus"] or "")
        kafka.start()
        for process in alone:
            says(process, "is missing in Kafka: make the topics with `python -m <service> migrate`")
        assert "is missing in Kafka" in (check(site)["bus"] or "")
        assert site.migrate("router").returncode == 0
        for process in alone:
            is_well(process)
        assert check(site)["bus"] is None
        assert {process.log.stem: flood_of(process) for process in alone} == {process.log.stem: [] for process in alone}
        assert [process.stop() for process in alone] == [0, 0, 0]


def test_wrong_credentials_of_both_until_they_are_right(site: Site, kafka: Kafka, mongodb: MongoServer) -> None:
    """Issue 5: refused at once, said which, nothing restarts; let in, all goes on."""
    kafka.start()
    mongodb.let_in("threadline", "another")
    mongodb.start()
    assert site.migrate("router").returncode == 0
    login = {"MECHANISM": "plain", "USERNAME": kafka.login[0], "PASSWORD": "new-password"}
    changes = {f"THREADLINE_BUS__SECURITY__{name}": value for name, value in login.items()}
    wrong = replace(site, bus=kafka.login_url, database=mongodb.url_for("threadline", "new-password"), changes=changes)
    alone = each_alone(wrong)
    with started(alone):
        for process in alone:
            says(process, "refuses the login (SaslAuthenticationFailed): look at THREADLINE_BUS__SECURITY__*")
            says(process, "refuses the login: look at user, password and authSource in THREADLINE_DATABASE__URL")
        found = check(wrong)
        assert "THREADLINE_BUS__SECURITY__*" in (found["bus"] or "")
        assert "THREADLINE_DATABASE__URL" in (found["database"] or "")
        kafka.change_login(kafka.login[0], "new-password")
        mongodb.let_in("threadline", "new-password")
        for process in alone:
            is_well(process)
        assert not any("new-password" in process.said() for process in alone)
        assert [process.stop() for process in alone] == [0, 0, 0]


def verb(up: Standalone, *words: str) -> list[dict[str, Any]]:
    """What a verb of the command prints as JSON lines, beside the running `up`."""
    where = () if words[0] == "dlq" or words[:2] in {("keys", "list"), ("keys", "revoke")} else ("--config", str(up.configuration))
    done = threadline_here(*words, "--json", "--data", str(up.data), *where, env=up.env)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def publish_poison(url: str) -> None:
    bus = KafkaBus.open(url)
    headers = (("ce_intakeid", b"i_poison"), ("ce_intakeindex", b"0"), ("ce_account", b"acme-support"), ("ce_channel", b"email"))
    await bus.publish_raw([RawRecord(topics.INBOUND, b"poison", b"no JSON \xff", headers)])
    await bus.close()


def test_threadline_up_on_both_urls_from_nothing_to_an_outage(
    site: Site, kafka: Kafka, mongodb: MongoServer, mail_world: MailWorld, tmp_path: Path
) -> None:
    """Interface section 2: the URLs unchanged; waits, works with every verb, outlives Kafka and database, loses nothing."""
    accounts_file(site.configuration, mail_world, [MailAccount("acme-support", "acme", SUPPORT)])
    up = Standalone(tmp_path / "data", site.configuration, env=site.env())
    with started([up]):
        says(up, "MongoDB at")
        assert up.stop() == 0
        up.log.unlink()  # what one run holds back, the next one says
        up.start(wait=False)
        says(up, "waits for the database")
        mongodb.start()
        says(up, "waits for the bus")
        kafka.start()
        is_well(up)

        mail_world.send(mail(ANN, SUPPORT, "My parcel is late."), ANN, [SUPPORT])
        conversation = up.conversation_with("My parcel is late.")
        up.reply(conversation.conversation_id, "It is on its way.", key="k-1")
        assert received(mail_world, ANN)["Subject"] == "Re: Where is my order?"
        assert not list(up.data.glob("*.db"))

        asyncio.run(publish_poison(kafka.url))
        (letter,) = up.until("the dead letter", lambda: verb(up, "dlq", "list"))
        (shown,) = verb(up, "dlq", "show", letter["reference"])
        assert (shown["account"], shown["body"]) == ("acme-support", "no JSON \ufffd")
        verb(up, "dlq", "discard", letter["reference"])
        assert verb(up, "dlq", "list") == []
        (made,) = verb(up, "keys", "create", "--name", "desk")
        verb(up, "keys", "revoke", made["key_id"])
        assert [key["revoked_at"] is None for key in verb(up, "keys", "list")] == [True, False]
        assert {row["check"]: row["problem"] for row in verb(up, "check")}.keys() >= {"bus", "database", "acme-support receives"}

        kafka.brokers[0].stop()
        mail_world.send(mail(ANN, SUPPORT, "Kafka is away."), ANN, [SUPPORT])
        up.until("the outage in /readyz", lambda: json.loads(up.readiness().text)["checks"]["bus"] != "ok")
        up.until("the outage in the log", lambda: '"check": "bus"' in up.said())
        assert "THREADLINE_BUS__URL" in (check(site)["bus"] or "")
        kafka.brokers[0].start()
        up.entry_with(conversation.conversation_id, "Kafka is away.", within=60)
        mongodb.stop()
        mail_world.send(mail(ANN, SUPPORT, "The database is away."), ANN, [SUPPORT])
        says(up, "does not answer")
        assert "does not answer" in (check(site)["database"] or "")
        mongodb.start()
        up.entry_with(conversation.conversation_id, "The database is away.", within=60)
        is_well(up)
        (account,) = [row for row in verb(up, "audit") if row["account_id"] == "acme-support"]
        assert (account["missing"], account["outcomes"]) == (0, {"stored": 3})
        assert flood_of(up) == []
        assert up.stop() == 0
