"""P1 to P4, P8 on three brokers: one lost, the groups' coordinator moved, too few to write; and a real replica set's primary.

Not here: one broker (`test_servers_faults`).
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from threadline_cli.testing.fault_world import World, configured, servers, up_world
from threadline_cli.testing.lag import GROUPS
from threadline_cli.testing.standalone import Standalone
from threadline_cli.testing.under_load import SHORT, UnderLoad
from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.fake_smtp import FakeSmtp
from threadline_runtime.testing.kafka import KafkaBroker
from threadline_runtime.testing.kafka_places import coordinator_of, until_in_sync
from threadline_runtime.testing.mail_world import MailWorld
from threadline_runtime.testing.mongodb import database_url, named_mongodb

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(3600)]


@pytest.fixture
def three(
    request: pytest.FixtureRequest, tmp_path: Path, mail_servers: MailWorld, certificates: Certificates
) -> Iterator[World[Standalone]]:
    around = servers(mail_servers, certificates, lambda: request.session.testsfailed, brokers=3)
    with around as found, up_world(tmp_path, found) as world:
        yield world


def coordinator(three: World[Standalone]) -> KafkaBroker:
    """The broker that leads the group of the inbound events."""
    kafka = three.servers.kafka
    number = asyncio.run(coordinator_of(kafka.url, GROUPS["threadline.inbound.v1"]))
    return next(broker for broker in kafka.brokers if broker.number == number)


@pytest.mark.skipif(SHORT, reason="only in a full run of the faults")
def test_brokers_lost_and_the_coordinator_moved(three: World[Standalone]) -> None:
    """Class 6 on three: `kill -9` of the coordinator, so that groups and leaders move; then two are gone and nobody may write."""
    brokers, dice = three.servers.kafka.brokers, three.under.dice
    with three.under.load():
        for _ in range(6):
            time.sleep(dice.uniform(1.0, 3.0))
            lost = coordinator(three)
            lost.kill()
            while coordinator(three) is lost:  # until the other brokers have noticed
                time.sleep(0.5)
            three.under.recovers()
            lost.start()
            asyncio.run(until_in_sync(three.servers.kafka.url))
        for broker in brokers[:2]:
            broker.kill()
        time.sleep(30.0)
        for broker in brokers[:2]:
            broker.start()
        three.under.recovers()
    three.under.balance("brokers lost, coordinator moved")
    assert three.up.running, three.up.said()[-2000:]


def test_primary_steps_down(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp, kafka: str) -> None:
    """Class 8 on a real replica set: another member becomes the primary under load."""
    named = named_mongodb()
    if named is None:
        pytest.skip("THREADLINE_TEST_MONGODB_URI names no replica set: the stand-in has no primary to lose")
    database = database_url(named, f"threadline_test_{uuid.uuid4().hex[:12]}")
    env = {"THREADLINE_BUS__URL": kafka, "THREADLINE_DATABASE__URL": database}
    client: MongoClient[dict[str, object]] = MongoClient(database)
    with Standalone(tmp_path / "data", configured(tmp_path, mail_world, fake_smtp.port), env=env) as up:
        under = UnderLoad(up, mail_world.dovecot, fake_smtp)
        with under.load():
            for _ in range(1 if SHORT else 5):
                time.sleep(3.0)
                client.admin.command("replSetStepDown", 10, force=True)
                under.recovers()
        under.balance("primary stepped down")
    client.drop_database(client.get_default_database())
    client.close()
