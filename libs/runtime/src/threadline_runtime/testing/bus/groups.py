"""Groups: commit after effects, partitions shared and handed over, nothing lost and nothing doubled."""

import asyncio
from collections.abc import Sequence

from threadline_runtime.bus.port import Bus, Message
from threadline_runtime.testing.bus.rig import OTHER, TOPIC, BusRig, Seen, eventually, record

__all__ = ["GroupSuite"]


class GroupSuite(BusRig):
    """Groups: commit after effects, partitions shared and handed over, nothing lost and nothing doubled."""

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

    async def test_who_gathers_gets_fewer_and_larger_batches(self, bus: Bus) -> None:
        """Records that come one by one within the time are handed out together; a span may end among them."""
        seen = Seen()
        await bus.publish([record("a", "first")])
        async with self.consuming(bus, seen.handle, gather_seconds=0.5):
            await seen.until_all("first")
            await asyncio.gather(*(bus.publish([record("a", str(number))]) for number in range(8)))
            await seen.until_all(*map(str, range(8)))
        assert len(seen.batches) < 1 + 8

    async def test_all_that_came_while_a_batch_was_handled_comes_next(self, bus: Bus) -> None:
        """Nobody waits for the next batch but one: that would be most of the time a message takes."""
        entered, go_on, seen = asyncio.Event(), asyncio.Event(), Seen()

        async def handle(messages: Sequence[Message[str]]) -> None:
            await seen.handle(messages)
            entered.set()
            await go_on.wait()

        await bus.publish([record("a", "1")])
        async with self.consuming(bus, handle):
            await entered.wait()
            for number in range(2, 7):
                await bus.publish([record("a", str(number))])
                await asyncio.sleep(0.05)  # time enough to have one fetched before the next is there
            go_on.set()
            await seen.until_all("6")
        assert seen.batches == [["1"], ["2", "3", "4", "5", "6"]]

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
        async with self.consuming(bus, seen.handle, topics=(TOPIC, OTHER)):
            await bus.publish([record("a", "1"), record("a", "2", OTHER)])
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
        (part,) = [part for part in await bus.progress("group", [TOPIC]) if part.end]
        assert (part.committed, part.end) == (2, 3)
        (third,) = [received for received in await self.all_of(bus) if received.value == b"3"]
        assert part.oldest_unprocessed == third.timestamp
