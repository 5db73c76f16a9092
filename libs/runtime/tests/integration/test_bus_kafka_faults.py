"""Kafka only: members that come, go and freeze, a broker that is killed, and bytes that nobody expects. Nothing is lost or reordered."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from threadline_events.topics import dead_letter_topic
from threadline_runtime.bus.dead_letter_record import original_headers
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_connection import read_servers
from threadline_runtime.bus.kafka_topics import plans_for
from threadline_runtime.bus.port import Message, Subscription
from threadline_runtime.errors import PermanentError, TransientError
from threadline_runtime.testing.bus_suite import FAST, TOPIC, Seen, decode, drain, eventually, record
from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.kafka_places import QUICK, make_afresh

pytestmark = [pytest.mark.faults, pytest.mark.integration]
_KEYS = 24


class History:
    """What was acknowledged and what was handled, each as key/number."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.handled: list[str] = []

    async def handle(self, messages: Sequence[Message[str]]) -> None:
        await asyncio.sleep(0.02)  # a batch is in hand most of the time
        self.handled += [message.body for message in messages]

    async def until_acknowledged(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.acknowledged) >= count

        await eventually(enough)

    def check(self) -> None:
        """All that was acknowledged was handled, and seen for the first time in the order of its key."""
        assert self.acknowledged <= set(self.handled), "acknowledged and lost"
        first: defaultdict[str, list[int]] = defaultdict(list)
        for value in dict.fromkeys(self.handled):
            key, number = value.split("/")
            first[key].append(int(number))
        assert all(numbers == sorted(numbers) for numbers in first.values()), "a key was reordered"

    async def publish(self, bus: KafkaBus, key: str, stop: asyncio.Event) -> None:
        """Publish one record after the other, each until Kafka has taken it, as a source that delivers again would."""
        number = 0
        while not stop.is_set():
            with contextlib.suppress(TransientError):
                await bus.publish([record(key, f"{key}/{number}")])
                self.acknowledged.add(f"{key}/{number}")
                number += 1
            await asyncio.sleep(0.005)


def subscription(history: History) -> Subscription[str]:
    return Subscription((TOPIC,), "group", decode, history.handle, max_records=50)


async def committed(bus: KafkaBus) -> bool:
    return all(part.committed == part.end for part in await bus.progress("group", [TOPIC]))


@contextlib.asynccontextmanager
async def load(bus: KafkaBus, history: History) -> AsyncIterator[None]:
    """Publishers on many keys while the block lasts."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for key in range(_KEYS):
            group.create_task(history.publish(bus, str(key), stop))
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
async def bus(kafka: str) -> AsyncIterator[KafkaBus]:
    await make_afresh(kafka, plans_for([TOPIC], 6))
    bus = KafkaBus.open(kafka, retry=FAST, pace=QUICK)
    yield bus
    await bus.close()


@pytest.mark.parametrize("cut_off", [False, True])
async def test_members_that_join_and_leave_under_load_lose_and_reorder_nothing(bus: KafkaBus, cut_off: bool) -> None:
    """P2, P8: a rebalance storm. In order, each record is handled once; where members are cut off, what was in hand comes again."""
    history, chance = History(), random.Random(5)
    members = [asyncio.create_task(bus.consume(subscription(history)))]
    async with load(bus, history):
        for _ in range(12):
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            if len(members) < 2 or chance.random() < 0.55:
                members.append(asyncio.create_task(bus.consume(subscription(history))))
                continue
            leaving = members.pop(chance.randrange(len(members)))
            leaving.cancel()
            if cut_off:
                await asyncio.sleep(0)
                leaving.cancel()
            await asyncio.wait([leaving])
    await eventually(lambda: committed(bus))
    for member in members:
        await drain(member)
    history.check()
    assert len(history.acknowledged) > 20 * _KEYS
    if not cut_off:
        assert len(history.handled) == len(set(history.handled)), "handled twice, though everybody left in order"


async def test_a_broker_that_is_killed_under_load_loses_nothing_that_it_acknowledged() -> None:
    """P1: `kill -9` of the only broker; producer and consumer go on by themselves."""
    history = History()
    with running_kafka() as cluster:
        await make_afresh(cluster.url, plans_for([TOPIC], 6))
        bus = KafkaBus.open(cluster.url, retry=FAST, pace=QUICK)
        member = asyncio.create_task(bus.consume(subscription(history)))
        async with load(bus, history):
            await history.until_acknowledged(20 * _KEYS)
            await asyncio.to_thread(cluster.brokers[0].kill)
            await asyncio.to_thread(cluster.brokers[0].start)
            await history.until_acknowledged(len(history.acknowledged) + 20 * _KEYS)
        async with asyncio.timeout(60):
            await eventually(lambda: _committed_if_there(bus))
        await drain(member)
        stored = [(found.value or b"").decode() async for found in bus.read(TOPIC)]
        await bus.close()
    assert history.acknowledged <= set(stored)
    history.check()


async def _committed_if_there(bus: KafkaBus) -> bool:
    try:
        return await committed(bus)
    except TransientError:
        return False


_CHILD = """
import asyncio, sys
from dataclasses import replace
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.port import Subscription
from threadline_runtime.testing.bus_suite import FAST, TOPIC, decode
from threadline_runtime.testing.kafka_places import QUICK

async def main(url):
    bus = KafkaBus.open(url, retry=FAST, pace=replace(QUICK, session_ms=1000))
    async def handle(messages):
        print("begin", *(message.body for message in messages), flush=True)
        await asyncio.sleep(0.3)
        print("end", *(message.body for message in messages), flush=True)
    await bus.consume(Subscription((TOPIC,), "group", decode, handle, max_records=10))

asyncio.run(main(sys.argv[1]))
"""


def start_child(url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", _CHILD, url], stdout=subprocess.PIPE, text=True)


async def test_a_frozen_member_that_wakes_up_takes_nothing_back_and_works_on(bus: KafkaBus, kafka: str) -> None:
    """P2, P8: SIGSTOP beyond the session timeout. Another takes over; the late commit of the first moves nothing back."""
    history = History()
    first = {f"{key}/{number}" for key in range(_KEYS) for number in range(1000, 1020)}
    await bus.publish([record(value.split("/")[0], value) for value in sorted(first)])
    child = start_child(kafka)
    assert child.stdout is not None
    try:
        lines = [await asyncio.to_thread(child.stdout.readline)]
        os.kill(child.pid, signal.SIGSTOP)
        member = asyncio.create_task(bus.consume(subscription(history)))
        await eventually(lambda: committed(bus))
        before = {part.partition: part.committed for part in await bus.progress("group", [TOPIC])}
        assert set(lines[0].split()[1:]) <= set(history.handled), "what the frozen one had in hand came again"
        os.kill(child.pid, signal.SIGCONT)
        async with load(bus, history):
            while not (lines[-1].startswith("end") and lines[-1].split()[1:] != lines[0].split()[1:]):
                lines.append(await asyncio.to_thread(child.stdout.readline))
        child.terminate()
        rest = await asyncio.to_thread(child.stdout.read)
        await eventually(lambda: committed(bus))
        await drain(member)
        after = {part.partition: part.committed for part in await bus.progress("group", [TOPIC])}
        assert all(after[part] >= offset for part, offset in before.items())
        history.handled += [value for line in [*lines, *rest.splitlines()] if line.startswith("end") for value in line.split()[1:]]
        history.acknowledged |= first
        assert history.acknowledged <= set(history.handled), "acknowledged and lost"
    finally:
        child.kill()
        child.wait()


async def test_a_handler_that_outlasts_a_rebalance_is_broken_off_and_its_batch_comes_again(kafka: str) -> None:
    """P8: a batch is never left running while another member has its partitions."""
    await make_afresh(kafka, plans_for([TOPIC], 2))
    bus = KafkaBus.open(kafka, retry=FAST, pace=replace(QUICK, drain_seconds=0.3))
    entered, broken_off, seen = asyncio.Event(), asyncio.Event(), Seen()

    async def hang(_: Sequence[Message[str]]) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            assert not seen.values
            broken_off.set()

    await bus.publish([record(str(key), f"{key}/0") for key in range(8)])
    slow = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, hang)))
    await entered.wait()
    quick = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, seen.handle)))
    await broken_off.wait()
    slow.cancel()
    await asyncio.sleep(0)
    slow.cancel()
    await seen.until_all(*(f"{key}/0" for key in range(8)))
    await drain(quick)
    await asyncio.wait([slow])
    await bus.close()


async def test_only_the_part_of_a_batch_that_was_handled_is_committed(bus: KafkaBus) -> None:
    """P8: a consumer that stops within a batch leaves the rest of it to the next."""
    waiting, seen, later = asyncio.Event(), Seen(), Seen()

    async def handle(messages: Sequence[Message[str]]) -> None:
        if len(messages) > 1:
            raise PermanentError("only one at a time")
        if messages[0].body == "2":
            waiting.set()
            raise TransientError("the database does not answer")
        await seen.handle(messages)

    await bus.publish([record("a", "1"), record("a", "2")])
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, handle)))
    await waiting.wait()
    await drain(member)
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, later.handle)))
    await later.until_all("2")
    await drain(member)
    assert (seen.values, later.values) == (["1"], ["2"])


async def test_bytes_that_no_producer_of_ours_would_write(bus: KafkaBus, kafka: str) -> None:
    """P8: neither key nor value, no UTF-8 anywhere, a header without a value, ten megabytes of nothing: all set aside whole."""
    seen = Seen()
    headers = [("ce_id", b"\xff\xfe"), ("content-type", b"\x00"), ("ce_id", None), ("", b"")]
    poison = [(None, None), (b"\xff", b"\xff\xfe\x00"), (b"a", None), (None, b"\x80" + bytes(10_000_000))]
    foreign = AIOKafkaProducer(
        bootstrap_servers=list(read_servers(kafka)),
        value_serializer=lambda pair: pair[1],
        max_request_size=20_000_000,
        compression_type="gzip",
    )
    await foreign.start()
    await bus.publish([record("a", "1")])
    for pair in poison:
        await foreign.send_and_wait(TOPIC, pair, key=pair[0], headers=headers, timestamp_ms=1)
    await foreign.stop()
    await bus.publish([record("a", "2")])
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, seen.handle)))
    await seen.until_all("1", "2")
    await eventually(lambda: committed(bus))
    await drain(member)
    letters = [letter async for letter in bus.read(dead_letter_topic(TOPIC))]
    assert sorted(map(repr, poison)) == sorted(repr((letter.key, letter.value)) for letter in letters)
    assert all(original_headers(letter) == tuple(headers) for letter in letters)


@pytest.mark.parametrize("codec", [0, 4])  # none, zstd
async def test_a_header_name_that_is_no_text_stops_neither_group_nor_reader(bus: KafkaBus, kafka: str, codec: int) -> None:
    """P8: no client library of Java or Python writes such a name, but others do."""
    seen = Seen()
    await bus.publish([record("a", "1")])
    await _publish_with_odd_names(kafka, codec, {"2": b"\xff\xfename", "3": b"ce_id"})
    await bus.publish([record("a", "4")])
    member = asyncio.create_task(bus.consume(Subscription((TOPIC,), "group", decode, seen.handle)))
    await seen.until_all("1", "2", "3", "4")
    await eventually(lambda: committed(bus))
    await drain(member)
    found = {found.value: found async for found in bus.read(TOPIC)}
    assert found[b"2"].raw_headers == (("\\xff\\xfename", b"\xff"),)
    assert found[b"3"].raw_headers == (("ce_id", b"\xff"),)
    assert len(found) == 4


class _OddName(str):  # noqa: SLOT000 - it carries its bytes
    """A header name that the client library's builder in Python writes as other bytes."""

    def __new__(cls, data: bytes) -> "_OddName":
        name = super().__new__(cls, data.decode("latin-1"))
        name.data = data
        return name

    def encode(self, *_: str) -> bytes:
        return self.data


async def _publish_with_odd_names(url: str, codec: int, names: dict[str, bytes]) -> None:
    """One batch with a record each, its only header so named."""
    producer = AIOKafkaProducer(bootstrap_servers=list(read_servers(url)))
    await producer.start()
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1 << 20)
    for value, name in names.items():
        batch.append(key=b"a", value=value.encode(), timestamp=None, headers=[(_OddName(name), b"\xff")])
    await (await producer.send_batch(batch, TOPIC, partition=0))
    await producer.stop()
