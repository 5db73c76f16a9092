"""The bus row on Kafka: consume, validate and commit through the bus, against the bare client doing the same in the same run.

Floor: aiokafka's `getmany`, one `model_validate_json` a record, one commit a batch. Ours: `KafkaBus.consume` with the same batch size
and the same model. Time runs from the first batch to the commit of the last, so neither pays for joining its group. Five interleaved
runs, medians; only ratios are compared. Starts a Kafka of its own, or takes the cluster that THREADLINE_TEST_KAFKA names.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from threadline_events import ids
from threadline_events.inbound import Author, Connector, InboundEvent, Part, RawPayload
from threadline_events.records import Record
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_connection import read_servers
from threadline_runtime.bus.kafka_topics import plans_for
from threadline_runtime.bus.port import Message, Received, Subscription
from threadline_runtime.testing.kafka import KAFKA_VARIABLE, running_kafka
from threadline_runtime.testing.kafka_places import make_afresh

TOPIC = "threadline.bench.v1"
_BATCH = 500
_PUBLISHED_AT_ONCE = 2_000
_CONTACTS = 500


def event(number: int) -> Record:
    """An event like those of a messaging channel."""
    now = datetime.now(UTC)
    identity, name = f"telegram:{number % _CONTACTS}", f"{number % _CONTACTS}/{number}"
    text = f"message {number} " + "words and more words " * 20
    body = InboundEvent(
        event_id=ids.event_id("telegram", "bot", name, "message.received"),
        message_id=ids.message_id("acme", "telegram", "bot", name),
        intake_id=ids.polled_intake_id("bot", number),
        kind="message.received",
        channel="telegram",
        account_id="bot",
        brand="acme",
        external_id=name,
        native_thread=identity,
        author=Author(identity=identity, display_name="Ann"),
        occurred_at=now,
        received_at=now,
        order=f"{number:020d}",
        text=text,
        reply_text=text,
        parts=(Part(type="text", text=text),),
        raw=RawPayload(sha256="0" * 64, size=1000, media_type="application/json"),
        reply_address={"chat": identity},
        connector=Connector(name="telegram", version="0"),
    )
    headers = {"ce_id": body.event_id.encode(), "ce_type": b"message.received", "ce_account": b"bot", "ce_intakecount": b"1"}
    return Record(TOPIC, identity.encode(), body.to_json(), headers)


@dataclass(frozen=True)
class Speed:
    """Records a second, and records a second of this process's own CPU: the latter also holds while others use the machine."""

    rate: float
    cpu_rate: float


class Clock:
    """Counts records and takes the time from the first batch to the last; the first batch itself is not counted."""

    def __init__(self, count: int) -> None:
        self._count, self._seen, self._first = count, 0, 0
        self._began, self._began_cpu = 0.0, 0.0
        self.full = asyncio.Event()

    def took(self, records: int) -> None:
        if not self._seen:
            self._began, self._began_cpu, self._first = time.perf_counter(), time.process_time(), records
        self._seen += records
        if self._seen >= self._count:
            self.full.set()

    def speed(self) -> Speed:
        records = self._seen - self._first
        return Speed(records / (time.perf_counter() - self._began), records / (time.process_time() - self._began_cpu))


async def floor(url: str, group: str, count: int) -> Speed:
    """What a bare program would do, and how fast."""
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=list(read_servers(url)), group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    clock = Clock(count)
    while not clock.full.is_set():
        found = await consumer.getmany(timeout_ms=200, max_records=_BATCH)
        bodies = [InboundEvent.model_validate_json(record.value) for records in found.values() for record in records]
        if bodies:
            await consumer.commit({TopicPartition(part.topic, part.partition): records[-1].offset + 1 for part, records in found.items()})
            clock.took(len(bodies))
    speed = clock.speed()
    await consumer.stop()
    return speed


def decode(record: Received) -> InboundEvent:
    return InboundEvent.model_validate_json(record.value or b"")


class LastCommit:
    """A watch that stops the clock when a batch is committed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def batch_done(self, group: str, records: int, seconds: float) -> None:
        self._clock.took(records)

    def dead_lettered(self, group: str, record: Received, letter: object) -> None:
        raise AssertionError(letter)

    def retrying(self, group: str, error_class: str) -> None:
        print("waits:", error_class)

    def polled(self, group: str) -> None:
        pass


async def ours(url: str, group: str, count: int) -> Speed:
    """The same through the bus, and how fast."""
    clock = Clock(count)
    bus = KafkaBus.open(url, watch=LastCommit(clock))

    async def handle(messages: Sequence[Message[InboundEvent]]) -> None:
        pass

    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), group, decode, handle, max_records=_BATCH)))
    await clock.full.wait()
    speed = clock.speed()
    member.cancel()
    await asyncio.wait([member])
    await bus.close()
    return speed


async def measure(url: str, count: int, rounds: int) -> dict[str, float]:
    """Medians of interleaved runs; `ratio` is ours to the floor."""
    await make_afresh(url, plans_for([TOPIC]))
    bus = KafkaBus.open(url)
    began = time.perf_counter()
    for start in range(0, count, _PUBLISHED_AT_ONCE):
        await bus.publish([event(number) for number in range(start, min(count, start + _PUBLISHED_AT_ONCE))])
    published = count / (time.perf_counter() - began)
    await bus.close()
    await floor(url, "bench.warm", count)
    name = f"bench.{time.time_ns()}"
    pairs = [(await floor(url, f"{name}.floor.{n}", count), await ours(url, f"{name}.ours.{n}", count)) for n in range(rounds)]
    return {
        "records": count,
        "published_per_second": round(published),
        "floor_per_second": round(statistics.median(one.rate for one, _ in pairs)),
        "ours_per_second": round(statistics.median(two.rate for _, two in pairs)),
        "ratio": round(statistics.median(two.rate / one.rate for one, two in pairs), 3),
        "lowest_ratio": round(min(two.rate / one.rate for one, two in pairs), 3),
        "cpu_ratio": round(statistics.median(two.cpu_rate / one.cpu_rate for one, two in pairs), 3),
    }


def main() -> None:
    """Prints one line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=60_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = arguments.parse_args()
    with ExitStack() as stack:
        url = os.environ.get(KAFKA_VARIABLE) or stack.enter_context(running_kafka()).url
        result = asyncio.run(measure(url, chosen.count, chosen.rounds))
    if chosen.json:
        print(json.dumps({"path": "bus consume and validate", "results": result}))
        return
    print("  ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
