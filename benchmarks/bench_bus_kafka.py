"""The bus row on Kafka: consume, validate and commit through the bus, against the bare client doing the same in the same run.

Floor: aiokafka's `getmany`, one `model_validate_json` a record, one commit a batch. Ours: `KafkaBus.consume` with the same batch size
and the same model. Time runs from the first batch to the commit of the last, so neither pays for joining its group. Five interleaved
runs, medians; only ratios are compared. Starts a Kafka of its own, or takes the cluster that THREADLINE_TEST_KAFKA names.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition
from events import received
from pace import Clock, ClockedWatch, Speed, compared
from threadline_events.inbound import InboundEvent
from threadline_events.records import Record, inbound_record
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_connection import read_servers
from threadline_runtime.bus.kafka_topics import plans_for
from threadline_runtime.bus.port import Message, Received, Subscription
from threadline_runtime.garbage import look_rarely
from threadline_runtime.testing.kafka import KAFKA_VARIABLE, running_kafka
from threadline_runtime.testing.kafka_places import make_afresh

TOPIC = "threadline.bench.v1"
_BATCH = 500
_PUBLISHED_AT_ONCE = 2_000
_CONTACTS = 500


def record(number: int) -> Record:
    """An event like those of a messaging channel, on a topic of its own."""
    return replace(inbound_record(received(number, number % _CONTACTS)), topic=TOPIC)


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


async def ours(url: str, group: str, count: int) -> Speed:
    """The same through the bus, and how fast."""
    watch = ClockedWatch()
    clock = watch.restart(count)
    bus = KafkaBus.open(url, watch=watch)

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
        await bus.publish([record(number) for number in range(start, min(count, start + _PUBLISHED_AT_ONCE))])
    published = count / (time.perf_counter() - began)
    await bus.close()
    await floor(url, "bench.warm", count)
    name = f"bench.{time.time_ns()}"
    pairs = [(await floor(url, f"{name}.floor.{n}", count), await ours(url, f"{name}.ours.{n}", count)) for n in range(rounds)]
    return {
        "records": count,
        "published_per_second": round(published),
        **compared(pairs),
    }


def main() -> None:
    """Prints one line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=60_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = arguments.parse_args()
    look_rarely()
    with ExitStack() as stack:
        url = os.environ.get(KAFKA_VARIABLE) or stack.enter_context(running_kafka()).url
        result = asyncio.run(measure(url, chosen.count, chosen.rounds))
    if chosen.json:
        print(json.dumps({"path": "bus consume and validate", "results": result}))
        return
    print("  ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
