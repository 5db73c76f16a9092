"""The behaviour suite of the bus port: an adapter's test subclasses `BusSuite`, makes a bus, and must pass all of it unchanged.

Not here: what only one adapter has (trimming, rebalance of processes); nothing sleeps for a fixed time, waits are on conditions.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from threadline_events.records import Record
from threadline_events.topics import dead_letter_topic

from threadline_runtime.bus.dead_letter_record import original_headers, original_position
from threadline_runtime.bus.port import Bus, DeadLetter, Message, Position, RawRecord, Received, Subscription
from threadline_runtime.bus.processing import RetryPolicy
from threadline_runtime.errors import PermanentError, PositionExpired, TransientError

__all__ = ["FAST", "BusSuite", "Seen", "decode", "drain", "eventually", "record"]

FAST = RetryPolicy(first=0.001, most=0.01, alone=(0.001, 0.001, 0.001, 0.001))
_PATIENCE = 30.0
_TOPIC = "threadline.suite.v1"
_OTHER = "threadline.other.v1"

Handler = Callable[[Sequence[Message[str]]], Awaitable[None]]


def record(key: str, value: str, topic: str = _TOPIC) -> Record:
    """A small record."""
    return Record(topic, key.encode(), value.encode(), {"ce_id": value.encode()})


def decode(received: Received) -> str:
    """The text of a record; a value that is none or no UTF-8 cannot be decoded."""
    if received.value is None:
        raise ValueError("no value")
    return received.value.decode()


class Seen:
    """Collects what a consumer handled and lets a test wait for it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._changed = asyncio.Event()

    @property
    def values(self) -> list[str]:
        """All that was handled, in order."""
        return [value for batch in self.batches for value in batch]

    async def handle(self, messages: Sequence[Message[str]]) -> None:
        """Handle a batch: remember it."""
        self.batches.append([message.body for message in messages])
        self._changed.set()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        """Wait until the values fulfil the condition."""
        async with asyncio.timeout(_PATIENCE):
            while not condition(self.values):
                self._changed.clear()
                await self._changed.wait()

    async def until_all(self, *values: str) -> None:
        """Wait until each of the values was seen."""
        await self.until(lambda seen: set(values) <= set(seen))


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a question is answered with yes."""
    async with asyncio.timeout(_PATIENCE):
        while not await condition():  # noqa: ASYNC110 - a bus has no event for every question
            await asyncio.sleep(0.005)


async def drain(task: "asyncio.Task[None]") -> None:
    """Cancel a consumer once, unless that was done, and wait until it has ended."""
    if not task.cancelling():
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class BusSuite(ABC):
    """What every adapter promises. `make_bus` opens a bus on `place`; a second call on the same place sees the same log."""

    durable = True
    """Whether a bus opened again on the same place still holds what was published."""

    @abstractmethod
    async def make_bus(self, place: Path, partitions: int = 4) -> Bus:
        """A bus with the retry policy FAST and topics of so many partitions, made on first use."""

    @abstractmethod
    async def expire(self, bus: Bus, topic: str) -> None:
        """Trim all records of a topic that lie on the bus now."""

    @pytest_asyncio.fixture
    async def bus(self, tmp_path: Path) -> AsyncIterator[Bus]:
        """The bus under test."""
        bus = await self.make_bus(tmp_path)
        yield bus
        await bus.close()

    @contextlib.asynccontextmanager
    async def consuming(
        self,
        bus: Bus,
        handle: Handler,
        *,
        topics: tuple[str, ...] = (_TOPIC,),
        group: str = "group",
        max_records: int = 500,
        on_dead_letter: Callable[[Received, DeadLetter], Awaitable[None]] | None = None,
        probes: tuple[Callable[[], Awaitable[None]], ...] = (),
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """A consumer that runs while the block does, and then is drained."""
        subscription = Subscription(topics, group, decode, handle, on_dead_letter, max_records, probes)
        task = asyncio.create_task(bus.consume(subscription))
        try:
            yield task
        finally:
            await drain(task)

    async def committed(self, bus: Bus, group: str = "group", topics: Sequence[str] = (_TOPIC,)) -> bool:
        """Whether the group has passed all there is."""
        return all(part.committed == part.end for part in await bus.progress(group, topics))

    async def until_committed(self, bus: Bus, group: str = "group") -> None:
        """Wait until the group has passed all there is."""
        await eventually(lambda: self.committed(bus, group))

    async def all_of(self, bus: Bus, topic: str = _TOPIC) -> list[Received]:
        """All records of a topic."""
        return [received async for received in bus.read(topic)]

    # --- publish and read

    async def test_what_was_published_is_there_byte_for_byte(self, bus: Bus) -> None:
        """P6: arbitrary bytes in headers, repeated and empty headers, no key, no value, a large value."""
        headers = (("a", b"\xff\x00\xfe"), ("a", b""), ("n", None), ("text", "ü".encode()))
        large = bytes(range(256)) * 3000
        await bus.publish_raw(
            [RawRecord(_TOPIC, b"\xff\x00", large, headers), RawRecord(_TOPIC, None, b"", ()), RawRecord(_TOPIC, b"k", None, headers)]
        )
        found = {received.key: received for received in await self.all_of(bus)}
        assert found[b"\xff\x00"].value == large
        assert found[b"\xff\x00"].raw_headers == headers
        assert found[b"\xff\x00"].headers["a"] == b""
        assert "n" not in found[b"\xff\x00"].headers
        assert found[None].value == b""
        assert found[b"k"].value is None

    async def test_acknowledged_is_durable(self, tmp_path: Path) -> None:
        """P1: what publish answered is there after the process has gone."""
        if not self.durable:
            pytest.skip("this bus lives as long as the process")
        bus = await self.make_bus(tmp_path)
        await bus.publish([record("a", "1"), record("b", "2")])
        await bus.close()
        again = await self.make_bus(tmp_path)
        assert {received.value for received in await self.all_of(again)} == {b"1", b"2"}
        await again.close()

    async def test_then_lies_behind_what_it_follows(self, bus: Bus) -> None:
        """P1: whoever sees a record of `then` finds all of `records` on the bus."""
        await bus.publish([record("a", f"event {n}") for n in range(20)], then=[record("x", "intake", _OTHER)])
        assert [received.value for received in await self.all_of(bus, _OTHER)] == [b"intake"]
        assert len(await self.all_of(bus)) == 20

    async def test_order_of_a_key_is_kept(self, bus: Bus) -> None:
        """Records of one key come in the order they were published, in one partition."""
        for n in range(10):
            await bus.publish([record(f"key {k}", f"{k}/{n}/{half}") for half in "ab" for k in range(5)])
        seen = Seen()
        async with self.consuming(bus, seen.handle, max_records=7):
            await seen.until(lambda values: len(values) == 100)
        for k in range(5):
            mine = [value for value in seen.values if value.startswith(f"{k}/")]
            assert mine == [f"{k}/{n}/{half}" for n in range(10) for half in "ab"]

    async def test_read_reaches_the_present_end_and_can_start_at_a_time(self, bus: Bus) -> None:
        """Replay: from the beginning or from a time."""
        await bus.publish([record(str(n), str(n)) for n in range(30)])
        found = await self.all_of(bus)
        assert sorted(int(received.value or b"") for received in found) == list(range(30))
        last = max(received.timestamp for received in found)
        assert [received async for received in bus.read(_TOPIC, datetime(2999, 1, 1, tzinfo=UTC))] == []
        assert [received async for received in bus.read(_TOPIC, last)]

    # --- groups

    async def test_a_group_commits_after_its_effects_and_goes_on_from_there(self, bus: Bus) -> None:
        """P1, P2: what was handled is not handed out again after a clean stop."""
        seen, later = Seen(), Seen()
        await bus.publish([record("a", "1"), record("b", "2")])
        async with self.consuming(bus, seen.handle):
            await seen.until_all("1", "2")
            await self.until_committed(bus)
        await bus.publish([record("a", "3")])
        async with self.consuming(bus, later.handle):
            await later.until_all("3")
        assert sorted(seen.values) == ["1", "2"]
        assert later.values == ["3"]

    async def test_nothing_is_committed_before_handle_returns(self, bus: Bus) -> None:
        """P1: commit after effect."""
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def handle(_: Sequence[Message[str]]) -> None:
            entered.set()
            await go_on.wait()

        await bus.publish([record("a", "1")])
        async with self.consuming(bus, handle):
            await entered.wait()
            assert not await self.committed(bus)
            go_on.set()
            await self.until_committed(bus)

    async def test_a_consumer_cut_off_in_a_batch_gets_it_again(self, bus: Bus) -> None:
        """P1: a crash before the commit means redelivery; the neighbours that were committed do not come again."""
        entered, seen = asyncio.Event(), Seen()

        async def hang(_: Sequence[Message[str]]) -> None:
            entered.set()
            await asyncio.Event().wait()

        await bus.publish([record("a", "1"), record("a", "2")])
        async with self.consuming(bus, hang) as task:
            await entered.wait()
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
        async with self.consuming(bus, seen.handle):
            await seen.until_all("1", "2")
        assert seen.values == ["1", "2"]

    async def test_a_first_cancel_lets_the_batch_in_hand_end(self, bus: Bus) -> None:
        """Drain: a batch that was begun is finished and committed."""
        entered, go_on, seen = asyncio.Event(), asyncio.Event(), Seen()

        async def handle(messages: Sequence[Message[str]]) -> None:
            entered.set()
            await go_on.wait()
            await seen.handle(messages)

        await bus.publish([record("a", "1")])
        async with self.consuming(bus, handle) as task:
            await entered.wait()
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            go_on.set()
        assert seen.values == ["1"]
        assert await self.committed(bus)

    async def test_two_groups_are_independent(self, bus: Bus) -> None:
        """The journal and the pipeline each see everything, at their own pace."""
        quick, slow = Seen(), Seen()
        await bus.publish([record("a", "1")])
        async with self.consuming(bus, quick.handle, group="quick"):
            await quick.until_all("1")
            await self.until_committed(bus, "quick")
        async with self.consuming(bus, slow.handle, group="slow"):
            await slow.until_all("1")

    async def test_one_consumer_reads_several_topics(self, bus: Bus) -> None:
        """A subscription may name several topics."""
        seen = Seen()
        async with self.consuming(bus, seen.handle, topics=(_TOPIC, _OTHER)):
            await bus.publish([record("a", "1"), record("a", "2", _OTHER)])
            await seen.until_all("1", "2")

    async def test_consumers_of_a_group_share_the_partitions(self, bus: Bus) -> None:
        """Each record goes to one of them, and a key stays with one while nobody comes or goes."""
        first, second = Seen(), Seen()
        async with self.consuming(bus, first.handle), self.consuming(bus, second.handle):

            async def both_work() -> bool:
                await bus.publish([record(f"key {k}", f"warm {k}") for k in range(20)])
                await asyncio.sleep(0.01)
                return bool(first.batches and second.batches)

            await eventually(both_work)
            await self.until_committed(bus)
            first.batches.clear()
            second.batches.clear()
            await bus.publish([record(f"key {k % 20}", f"{k % 20}/{k // 20}") for k in range(400)])
            await self.until_committed(bus)
        assert first.values
        assert second.values
        assert len(first.values) + len(second.values) == 400
        assert not {v.split("/")[0] for v in first.values} & {v.split("/")[0] for v in second.values}

    async def test_a_consumer_that_comes_waits_for_the_batch_in_hand(self, bus: Bus) -> None:
        """Handing over a partition drains it first: nothing is handled twice, order of a key holds."""
        entered, go_on = asyncio.Event(), asyncio.Event()
        order: list[str] = []

        async def slow(messages: Sequence[Message[str]]) -> None:
            entered.set()
            await go_on.wait()
            order.extend(message.body for message in messages)

        async def quick(messages: Sequence[Message[str]]) -> None:
            order.extend(message.body for message in messages)

        await bus.publish([record(str(k), f"{k}/{n}") for n in range(2) for k in range(10)])
        async with self.consuming(bus, slow, max_records=500):
            await entered.wait()
            async with self.consuming(bus, quick):
                await bus.publish([record(str(k), f"{k}/{n}") for n in range(2, 4) for k in range(10)])
                go_on.set()
                await self.until_committed(bus)
        for k in range(10):
            assert [value for value in order if value.startswith(f"{k}/")] == [f"{k}/{n}" for n in range(4)]

    async def test_what_a_leaving_consumer_owned_is_taken_over(self, bus: Bus) -> None:
        """A consumer that leaves mid-batch finishes it; the other goes on with all partitions and nothing comes twice."""
        stays, leaves = Seen(), Seen()
        async with self.consuming(bus, stays.handle):
            async with self.consuming(bus, leaves.handle):
                await bus.publish([record(str(k), f"a{k}") for k in range(40)])
            await bus.publish([record(str(k), f"b{k}") for k in range(40)])
            await self.until_committed(bus)
        handled = stays.values + leaves.values
        assert sorted(handled) == sorted([f"a{k}" for k in range(40)] + [f"b{k}" for k in range(40)])

    async def test_progress_tells_how_far_a_group_has_come(self, bus: Bus) -> None:
        """Lag and the age of the oldest record not yet passed."""
        seen = Seen()
        async with self.consuming(bus, seen.handle):
            await bus.publish([record("a", "1"), record("a", "2")])
            await seen.until_all("1", "2")
            await self.until_committed(bus)
        await bus.publish([record("a", "3")])
        (part,) = [part for part in await bus.progress("group", [_TOPIC]) if part.end]
        assert (part.committed, part.end) == (2, 3)
        (third,) = [received for received in await self.all_of(bus) if received.value == b"3"]
        assert part.oldest_unprocessed == third.timestamp

    # --- failures

    async def test_a_transient_failure_loses_and_reorders_nothing(self, bus: Bus) -> None:
        """P8: faults never skip."""
        seen, broken, failures = Seen(), True, 0

        async def handle(messages: Sequence[Message[str]]) -> None:
            nonlocal failures, broken
            if broken:
                failures += 1
                broken = failures < 12
                raise TransientError("the database does not answer")
            await seen.handle(messages)

        await bus.publish([record("a", str(n)) for n in range(50)])
        async with self.consuming(bus, handle):
            await seen.until(lambda values: len(values) >= 50)
            await self.until_committed(bus)
        assert seen.values == [str(n) for n in range(50)]
        assert await self.all_of(bus, dead_letter_topic(_TOPIC)) == []

    async def test_a_consumer_that_waits_can_be_stopped_and_nothing_is_lost(self, bus: Bus) -> None:
        """P8: stopping during an outage commits nothing."""
        failed, seen = asyncio.Event(), Seen()

        async def fail(_: Sequence[Message[str]]) -> None:
            failed.set()
            raise TransientError("the database does not answer")

        await bus.publish([record("a", "1")])
        async with self.consuming(bus, fail):
            await failed.wait()
        assert not await self.committed(bus)
        async with self.consuming(bus, seen.handle):
            await seen.until_all("1")

    async def test_what_cannot_be_decoded_is_set_aside_and_the_partition_moves_on(self, bus: Bus) -> None:
        """P8: poison never blocks; the dead letter is the original, with the reason behind its headers."""
        seen, told = Seen(), []
        headers: tuple[tuple[str, bytes | None], ...] = (("ce_id", b"\xff"), ("dlq_topic", b"forged"), ("n", None))

        async def hook(received: Received, letter: DeadLetter) -> None:
            letters = await self.all_of(bus, dead_letter_topic(_TOPIC))
            told.append((received.value, letter.error_class, len(letters)))

        await bus.publish([record("a", "1")])
        await bus.publish_raw([RawRecord(_TOPIC, b"a", b"\xff\xfe", headers), RawRecord(_TOPIC, b"a", None, headers)])
        await bus.publish([record("a", "2")])
        async with self.consuming(bus, seen.handle, on_dead_letter=hook):
            await seen.until_all("1", "2")
            await self.until_committed(bus)
        letters = await self.all_of(bus, dead_letter_topic(_TOPIC))
        assert [(letter.key, letter.value) for letter in letters] == [(b"a", b"\xff\xfe"), (b"a", None)]
        assert original_headers(letters[0]) == headers
        place = original_position(letters[0])
        assert place is not None
        assert (place.topic, place.offset) == (_TOPIC, 1)
        assert letters[0].headers["dlq_group"] == b"group"
        assert letters[0].headers["dlq_error_class"] == b"UnicodeDecodeError"
        assert told == [(b"\xff\xfe", "UnicodeDecodeError", 1), (None, "ValueError", 2)]

    async def test_poison_within_a_batch_is_isolated(self, bus: Bus) -> None:
        """P8: one record that can never succeed is set aside at once, its neighbours pass in order."""
        seen = Seen()

        async def handle(messages: Sequence[Message[str]]) -> None:
            if any(message.body == "poison" for message in messages):
                raise PermanentError("this can never be handled")
            await seen.handle(messages)

        values = [str(n) for n in range(20)]
        await bus.publish([record("a", value) for value in [*values[:13], "poison", *values[13:]]])
        async with self.consuming(bus, handle):
            await self.until_committed(bus)
        assert seen.values == values
        (letter,) = await self.all_of(bus, dead_letter_topic(_TOPIC))
        assert (letter.value, letter.headers["dlq_attempts"], letter.headers["dlq_message"]) == (
            b"poison", b"1", b"this can never be handled",
        )  # fmt: skip

    async def test_an_unknown_error_is_tried_five_times_alone_then_set_aside_if_the_dependencies_answer(self, bus: Bus) -> None:
        """P8: a defect in our code blocks nothing but the record that shows it."""
        seen, alone = Seen(), 0

        async def handle(messages: Sequence[Message[str]]) -> None:
            nonlocal alone
            if any(message.body == "odd" for message in messages):
                alone += len(messages) == 1
                raise KeyError("a defect of ours")
            await seen.handle(messages)

        async def probe() -> None:
            return None

        await bus.publish([record("a", "1"), record("a", "odd"), record("a", "2")])
        async with self.consuming(bus, handle, probes=(probe,)):
            await self.until_committed(bus)
        assert seen.values == ["1", "2"]
        assert alone == 5
        (letter,) = await self.all_of(bus, dead_letter_topic(_TOPIC))
        assert (letter.value, letter.headers["dlq_attempts"]) == (b"odd", b"5")

    async def test_an_unknown_error_while_a_dependency_is_down_skips_nothing(self, bus: Bus) -> None:
        """P8: with the dependencies down intake pauses, and goes on by itself when they are back."""
        seen, asked = Seen(), 0

        async def probe() -> None:
            nonlocal asked
            asked += 1
            if asked < 5:
                raise OSError("no route to host")

        async def handle(messages: Sequence[Message[str]]) -> None:
            if asked < 5:
                raise OSError("no route to host")
            await seen.handle(messages)

        await bus.publish([record("a", str(n)) for n in range(10)])
        async with self.consuming(bus, handle, probes=(probe,)):
            await seen.until(lambda values: len(values) >= 10)
            await self.until_committed(bus)
        assert seen.values == [str(n) for n in range(10)]
        assert await self.all_of(bus, dead_letter_topic(_TOPIC)) == []

    async def test_the_hook_of_a_dead_letter_is_repeated_until_it_succeeds(self, bus: Bus) -> None:
        """P3: a dead letter without its recorded outcome would be a missing event."""
        calls = 0

        async def hook(_: Received, __: DeadLetter) -> None:
            nonlocal calls
            calls += 1
            if calls < 4:
                raise OSError("the database does not answer")

        await bus.publish_raw([RawRecord(_TOPIC, b"a", b"\xff")])
        async with self.consuming(bus, Seen().handle, on_dead_letter=hook):
            await self.until_committed(bus)
        assert calls == 4
        assert len(await self.all_of(bus, dead_letter_topic(_TOPIC))) == 1

    # --- tail

    async def test_a_tail_follows_from_the_end_and_resumes(self, bus: Bus) -> None:
        """Streams need no group: from now on, or from behind a position, without a gap."""
        await bus.publish([record("a", "old")])
        places: list[Position] = []
        values: list[bytes | None] = []
        start = await bus.end([_TOPIC])
        await bus.publish([record("a", "1"), record("b", "2")])
        async with asyncio.timeout(_PATIENCE):
            async for batch in bus.tail([_TOPIC], start):
                values += [received.value for received in batch]
                places += [received.position for received in batch]
                if len(values) >= 2:
                    break
            assert sorted(value or b"" for value in values) == [b"1", b"2"]
            await bus.publish([record("a", "3")])
            last = {place.partition: place for place in [*start, *places]}
            async for batch in bus.tail([_TOPIC], list(last.values())):
                assert [received.value for received in batch] == [b"3"]
                break

    async def test_a_tail_without_a_position_starts_now(self, bus: Bus) -> None:
        """What was before is not shown; what comes next is."""
        await bus.publish([record("a", "old")])
        stream = bus.tail([_TOPIC])
        async with asyncio.timeout(_PATIENCE):
            first = asyncio.ensure_future(anext(stream))
            number = 0
            while not first.done():  # the tail starts when it is first asked; publish until it has started
                number += 1
                await bus.publish([record("a", f"new {number}")])
                await asyncio.sleep(0.005)
            assert all((received.value or b"").startswith(b"new") for received in await first)

    async def test_a_tail_behind_an_expired_position_says_so(self, bus: Bus) -> None:
        """A reader that was away too long reads from the store instead of missing something silently."""
        await bus.publish([record("a", "0"), record("a", "1"), record("a", "2")])
        (last,) = await bus.end([_TOPIC])
        await self.expire(bus, _TOPIC)
        await bus.publish([record("a", "3")])
        old = Position(last.topic, last.partition, 0)
        with pytest.raises(PositionExpired):
            await anext(bus.tail([_TOPIC], [old]))
        async with asyncio.timeout(_PATIENCE):
            batch = await anext(bus.tail([_TOPIC], [last]))
        assert [received.value for received in batch] == [b"3"]
        assert await bus.end([_TOPIC]) == (Position(last.topic, last.partition, 3),)

    async def test_a_tail_behind_a_position_that_never_was_says_so(self, bus: Bus) -> None:
        """A position of another log (an older data folder, say) would hide what comes next."""
        await bus.publish([record("a", "0")])
        (last,) = await bus.end([_TOPIC])
        with pytest.raises(PositionExpired):
            await anext(bus.tail([_TOPIC], [Position(last.topic, last.partition, 17)]))

    async def test_a_bus_that_works_answers_the_probe(self, bus: Bus) -> None:
        """A probe changes nothing that others see."""
        await bus.probe()
        assert await bus.end([_TOPIC]) == ()
