"""Kafka only: large records and slow handlers. Memory is bounded, consumption waits, and nobody leaves the group."""

import asyncio
import gc
import os
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_bounds import PARTITION_BATCH_BYTES
from threadline_runtime.bus.kafka_topics import plans_for
from threadline_runtime.bus.port import Message, RawRecord, Received, Subscription
from threadline_runtime.testing.bus_suite import FAST, TOPIC, drain, eventually
from threadline_runtime.testing.kafka_places import QUICK, admin_of, make_afresh

pytestmark = pytest.mark.integration
_LARGE = 1_000_000
_PARTITIONS = 6


def _as_it_is(record: Received) -> bytes:
    return record.value or b""


@dataclass
class Slow:
    """Handles a batch when it may, and keeps of it what each record begins with."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    sizes: list[int] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    async def handle(self, messages: Sequence[Message[bytes]]) -> None:
        self.sizes.append(sum(len(message.body) for message in messages))
        self.entered.set()
        await self.may.wait()
        self.seen += [message.body[:8] for message in messages]

    async def has_all(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.seen) >= count

        await eventually(enough)


async def _published(kafka: str, count: int, filling: "bytes | None") -> None:
    """So many large records on all partitions; without a filling each of other random bytes."""
    await make_afresh(kafka, plans_for([TOPIC], _PARTITIONS))
    bus = KafkaBus.open(kafka, pace=QUICK)
    for number in range(count):
        body = b"%8d" % number + (filling or os.urandom(_LARGE - 8))
        await bus.publish_raw([RawRecord(TOPIC, b"%d" % number, body)])
    await bus.close()


async def test_a_batch_holds_few_megabytes_however_many_records_fit_into_a_fetch(kafka: str) -> None:
    """P8: 500 records of a megabyte that compress to nothing are not one batch of half a gigabyte."""
    await _published(kafka, 120, bytes(_LARGE - 8))
    bus, slow = KafkaBus.open(kafka, retry=FAST, pace=QUICK), Slow()
    slow.may.set()
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", _as_it_is, slow.handle)))
    await slow.has_all(120)
    await drain(member)
    await bus.close()
    assert sorted(slow.seen) == [b"%8d" % number for number in range(120)]
    assert max(slow.sizes) <= _PARTITIONS * (PARTITION_BATCH_BYTES + _LARGE)


async def test_a_slow_handler_stops_the_fetching_and_stays_in_its_group(kafka: str) -> None:
    """P8: a handler that waits for longer than a session keeps its partitions, its batch, and no more than a few megabytes."""
    await _published(kafka, 120, None)
    bus, slow = KafkaBus.open(kafka, retry=FAST, pace=replace(QUICK, session_ms=1_000)), Slow()
    gc.collect()
    tracemalloc.start()
    try:
        member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", _as_it_is, slow.handle)))
        await slow.entered.wait()
        joined = await _members(kafka)
        await asyncio.sleep(4)  # four sessions: the stimulus, not a wait for luck
        assert await _members(kafka) == joined
        assert len(slow.sizes) == 1
        held, _ = tracemalloc.get_traced_memory()
        slow.may.set()
        await slow.has_all(120)
        await drain(member)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await bus.close()
    assert sorted(slow.seen) == [b"%8d" % number for number in range(120)], "each once: the batch in hand did not come again"
    # What is in hand, what is fetched behind it, and the answer that is just being read.
    assert held < 3 * _PARTITIONS * (PARTITION_BATCH_BYTES + _LARGE)
    assert most < 3 * _PARTITIONS * (PARTITION_BATCH_BYTES + _LARGE)


async def _members(kafka: str) -> tuple[str, ...]:
    """The state of the group and who is in it; a rebalance gives everybody who joins anew another name."""
    async with admin_of(kafka) as admin:
        ((_, _, state, _, _, members, *_),) = (await admin.describe_consumer_groups(["group"]))[0].groups
    return (state, *sorted(member[0] for member in members))
