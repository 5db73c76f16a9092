"""Kafka only: what is missing, dead or stuck is noticed, told and made anew, and nothing is skipped meanwhile."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from threadline_events.records import Record
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.dead_letter_notes import SqliteDeadLetterNotes
from threadline_runtime.bus.dead_letters import DeadLetters
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_topics import TopicPlan, plans_for
from threadline_runtime.bus.port import RawRecord, Subscription
from threadline_runtime.bus.processing import Unwatched
from threadline_runtime.errors import ConfigurationError, PermanentError, TransientError
from threadline_runtime.failpoints import FailpointError, arm_failpoints, disarm_failpoints
from threadline_runtime.sqlite import MEMORY, SqliteDatabase
from threadline_runtime.testing.bus.rig import OTHER
from threadline_runtime.testing.bus_suite import FAST, TOPIC, Seen, decode, drain, eventually, record
from threadline_runtime.testing.kafka_places import QUICK, admin_of, make_afresh, remove_topics
from threadline_runtime.testing.ports import free_port

pytestmark = pytest.mark.integration


class Told(Unwatched):
    """Remembers what a consumer reports."""

    def __init__(self) -> None:
        self.waited: list[str] = []
        self.polls = 0

    def retrying(self, group: str, error_class: str) -> None:
        self.waited.append(error_class)

    def polled(self, group: str) -> None:
        self.polls += 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def bus(kafka: str, told: Told) -> AsyncIterator[KafkaBus]:
    await make_afresh(kafka, plans_for([TOPIC, OTHER], 2))
    bus = KafkaBus.open(kafka, retry=FAST, pace=replace(QUICK, watch_seconds=0.05, stuck_seconds=0.2), watch=told)
    yield bus
    await bus.close()


@pytest.mark.parametrize("how", ["dead", "stuck"])
async def test_a_dead_or_stuck_consumer_is_made_anew(bus: KafkaBus, told: Told, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P8: a poll loop that only raises, or that gets nothing although records lie there, is replaced and reported."""
    real, broken = AIOKafkaConsumer.getmany, list[AIOKafkaConsumer]()

    async def getmany(consumer: AIOKafkaConsumer, *parts: Any, **options: Any) -> Any:
        if consumer._group_id is None or (broken and consumer is not broken[0]):
            return await real(consumer, *parts, **options)
        broken[:] = [consumer]
        await asyncio.sleep(0.01)
        if how == "dead":
            raise KafkaError("the coordination task has ended")
        return {}

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
    seen = Seen()
    await bus.publish([record("a", "1")])
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, seen.handle)))
    await seen.until_all("1")
    await drain(member)
    assert told.waited == ["TransientError"]


async def test_a_consumer_with_nothing_to_do_shows_that_it_is_alive(bus: KafkaBus, told: Told) -> None:
    """Liveness is not that records come."""
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, Seen().handle)))

    async def alive() -> bool:
        return told.polls > 3

    await eventually(alive)
    await drain(member)
    assert told.waited == []


async def test_a_topic_that_is_missing_is_told_and_never_made_by_use(kafka: str, told: Told) -> None:
    """P8: the consumer waits for `migrate`, then goes on by itself."""
    await remove_topics(kafka, [TOPIC])
    bus = KafkaBus.open(kafka, retry=FAST, pace=replace(QUICK, request_seconds=1.0), watch=told)
    seen = Seen()
    with pytest.raises(TransientError, match="missing in Kafka: make them with `python -m <service> migrate`"):
        await bus.publish([record("a", "1")])
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, seen.handle)))

    async def waits() -> bool:
        return len(told.waited) > 3

    await eventually(waits)
    async with admin_of(kafka) as admin:
        assert TOPIC not in await admin.list_topics()
    await bus.migrate(plans_for([TOPIC], 2))
    await bus.publish([record("a", "2")])
    await seen.until_all("2")
    await drain(member)
    await bus.close()


async def test_migrate_makes_topics_as_planned_once_and_refuses_one_that_somebody_else_made(bus: KafkaBus, kafka: str) -> None:
    """Partitions, retention and copies are stated; a topic that Kafka made by itself has one partition, and its keys would move."""
    (plan, _) = plans_for([TOPIC], 2)
    assert await bus.migrate([plan]) == ()
    with pytest.raises(ConfigurationError, match=r"threadline\.suite\.v1 has 2 partitions, not 12"):
        await bus.migrate([TopicPlan(TOPIC, 12, plan.keep, plan.record_bytes)])


async def test_kafka_that_is_away_is_one_clear_line(told: Told) -> None:
    """P8: nothing hangs; a consumer waits, and can be stopped."""
    bus = KafkaBus.open(f"kafka://127.0.0.1:{free_port()}", retry=FAST, pace=replace(QUICK, publish_seconds=1.0), watch=told)
    with pytest.raises(TransientError, match="Kafka cannot be read now: no server of THREADLINE_BUS__URL lets us in"):
        await bus.probe()
    with pytest.raises(TransientError, match="Kafka"):
        await bus.publish([record("a", "1")])
    with pytest.raises(TransientError, match="Kafka cannot be read now"):
        await anext(bus.tail([TOPIC]))
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, Seen().handle)))

    async def waits() -> bool:
        return len(told.waited) > 2

    await eventually(waits)
    await drain(member)
    await bus.close()


async def test_a_record_that_its_topic_does_not_take_is_refused_and_the_producer_lives_on(bus: KafkaBus) -> None:
    """P8: Kafka's refusal leaves a gap in the producer's numbering, so a new producer takes over."""
    await bus.publish([record("a", "0")])
    with pytest.raises(PermanentError, match="larger than its topic takes"):
        await bus.publish_raw([RawRecord(TOPIC, b"a", os.urandom(1_200_000))])
    await bus.publish([record("a", "1"), record("a", "2")])
    assert [found.value async for found in bus.read(TOPIC)] == [b"0", b"1", b"2"]


async def test_a_dead_letter_that_its_topic_refuses_goes_by_a_blob(kafka: str, tmp_path: Path) -> None:
    """P8: an operator allowed the dead letters less than we asked for; the partition moves on, and each letter is there."""
    (plan, dead) = plans_for([TOPIC], 1)
    await make_afresh(kafka, [plan, replace(dead, record_bytes=100_000)])
    blobs = FileBlobs.open(tmp_path)
    bus = KafkaBus.open(kafka, retry=FAST, pace=QUICK, blobs=blobs)
    database = SqliteDatabase.open(MEMORY)
    notes = SqliteDeadLetterNotes(database)
    await notes.migrate()
    poison = [RawRecord(TOPIC, b"a", b"\xff" + os.urandom(size)) for size in (10, 300_000, 20, 400_000, 30)]
    await bus.publish_raw(poison)
    await bus.publish([record("a", "good")])
    seen = Seen()
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, seen.handle)))
    await seen.until_all("good")
    await drain(member)
    letters = DeadLetters(bus, notes, blobs, lambda: datetime.now(UTC))
    found = [letter async for letter in letters.of_topic(TOPIC)]
    assert [letter.blob is not None for letter in found] == [False, True, False, True, False]
    assert [await letters.original(letter) for letter in found] == poison
    await database.close()
    await bus.close()


async def test_what_follows_is_not_sent_where_the_first_part_was_the_last_step(bus: KafkaBus) -> None:
    """P1: a journalled intake has all its events on the bus, never the other way round."""
    arm_failpoints({"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": "bus.between_publishes=raise"})
    try:
        with pytest.raises(FailpointError):
            await bus.publish([record("a", "event")], then=[Record(OTHER, b"x", b"intake")])
    finally:
        disarm_failpoints()
    assert [found.value async for found in bus.read(TOPIC)] == [b"event"]
    assert [found.value async for found in bus.read(OTHER)] == []
