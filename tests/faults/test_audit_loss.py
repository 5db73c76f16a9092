"""P3 on Kafka and MongoDB: records lost on purpose are named by `threadline audit`, and shown by the router's own look into its books.

One event is lost as a consumer would lose it, by a commit past it; another as an operator would, by a deletion in the database.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import MongoClient
from router.consuming import GROUPS
from router.testing.desk import mail
from router.testing.small_shop import CONFIGURATION
from threadline_cli.testing.alone import RouterAlone, Site
from threadline_cli.testing.lag import seconds_to_catch_up
from threadline_cli.testing.standalone import threadline
from threadline_events import topics
from threadline_events.inbound import InboundEvent
from threadline_events.intakes import Intake
from threadline_events.records import inbound_record, intake_record
from threadline_runtime.bus.kafka_connection import read_servers
from threadline_runtime.bus.kafka_topics import PARTITIONS
from threadline_runtime.opening import open_bus
from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.mongodb import database_url, running_mongodb
from threadline_runtime.testing.ports import LOOPBACK

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]
AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
MAILS = 40


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    configuration = tmp_path / "threadline.yaml"
    configuration.write_text(CONFIGURATION)
    with running_kafka() as kafka, running_mongodb() as mongodb:
        made = Site(tmp_path, configuration, kafka.url, database_url(mongodb.url, "threadline"))
        assert made.migrate("router").returncode == 0
        yield made


def event(number: int) -> InboundEvent:
    return mail(f"m{number}", author=f"customer{number}@client.test").model_copy(
        update={"received_at": AN_HOUR_AGO, "occurred_at": AN_HOUR_AGO}
    )


def intake(of: InboundEvent) -> Intake:
    return Intake(
        intake_id=str(of.intake_id),
        event_count=1,
        channel="email",
        account_id=of.account_id,
        brand=of.brand,
        received_at=AN_HOUR_AGO,
        origin="poll",
        media_type="message/rfc822",
        raw=b"From: ann@client.test\r\n\r\nhello",
    )


async def publish(url: str, events: list[InboundEvent]) -> None:
    bus = await open_bus(url, version="test")
    try:
        for each in events:
            await bus.publish([inbound_record(each)], then=[intake_record(intake(each))])
    finally:
        await bus.close()


async def commit_past_what_is_new(url: str) -> None:
    """As a consumer with automatic commits does when it dies: the group stands behind records that nobody handled."""
    consumer = AIOKafkaConsumer(bootstrap_servers=list(read_servers(url)), group_id=GROUPS[topics.INBOUND], enable_auto_commit=False)
    await consumer.start()
    try:
        parts = [TopicPartition(topics.INBOUND, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        await consumer.commit(dict(await consumer.end_offsets(parts)))
    finally:
        await consumer.stop()


def books(site: Site) -> tuple[int, dict[str, object]]:
    """The exit status of `threadline audit`, and what it says of the one account."""
    said = threadline("audit", "--json", "--data", str(site.folder), "--config", str(site.configuration), env=site.env())
    return said.returncode, json.loads(said.stdout)


def missing_in_metrics(router: RouterAlone) -> float | None:
    text = httpx.get(f"http://{LOOPBACK}:{router.ops_port}/metrics", trust_env=False).text
    found = re.search(r"^threadline_audit_missing (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def test_what_is_lost_on_purpose_is_named(site: Site) -> None:
    """Exit 1 and the intake's id for each loss, by the command and, an hour later at most, by metric and log."""
    events = [event(number) for number in range(MAILS)]
    passed_over, deleted = event(MAILS), events[7]
    router = RouterAlone(site)
    with router:
        asyncio.run(publish(site.bus, events))
        seconds_to_catch_up(site.bus, within=60)
        status, sound = books(site)
        assert (status, sound["missing"], sound["outcomes"]) == (0, 0, {"stored": MAILS})
        assert missing_in_metrics(router) == 0
        assert router.stop(within=40) == 0

    asyncio.run(publish(site.bus, [passed_over]))
    asyncio.run(commit_past_what_is_new(site.bus))
    with MongoClient(site.database) as client:
        gone = client.get_default_database()["router_entries"].delete_one({"_id": deleted.message_id})
    assert gone.deleted_count == 1

    with RouterAlone(site, "router-again") as router:
        seconds_to_catch_up(site.bus, within=60)
        status, short = books(site)
        assert (status, short["missing"], short["outcomes"]) == (1, 2, {"stored": MAILS - 1})
        assert sorted(short["lost"]) == sorted([f"{passed_over.intake_id}/0", f"{deleted.intake_id}/0"])  # type: ignore[call-overload]
    with RouterAlone(site, "router-at-last") as router:  # it looks when it starts, and then every hour
        router.until("the loss in the metrics", lambda: missing_in_metrics(router) == 2, within=60)
        for lost in (passed_over, deleted):
            router.until("its name in the log", lambda lost=lost: f'"intake_id": "{lost.intake_id}"' in router.said())  # type: ignore[misc]
