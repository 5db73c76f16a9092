"""Tails without a group, and the probe."""

import asyncio

import pytest

from threadline_runtime.bus.port import Bus, Position
from threadline_runtime.errors import PositionExpired
from threadline_runtime.testing.bus.rig import PATIENCE, TOPIC, BusRig, record

__all__ = ["TailSuite"]


class TailSuite(BusRig):
    """Tails without a group, and the probe."""

    async def test_a_tail_follows_from_the_end_and_resumes(self, bus: Bus) -> None:
        """Streams need no group: from now on, or from behind a position, without a gap."""
        await bus.publish([record("a", "old")])
        places: list[Position] = []
        values: list[bytes | None] = []
        start = await bus.end([TOPIC])
        await bus.publish([record("a", "1"), record("b", "2")])
        async with asyncio.timeout(PATIENCE):
            async for batch in bus.tail([TOPIC], start):
                values += [received.value for received in batch]
                places += [received.position for received in batch]
                if len(values) >= 2:
                    break
            assert sorted(value or b"" for value in values) == [b"1", b"2"]
            await bus.publish([record("a", "3")])
            last = {place.partition: place for place in [*start, *places]}
            async for batch in bus.tail([TOPIC], list(last.values())):
                assert [received.value for received in batch] == [b"3"]
                break

    async def test_a_tail_without_a_position_starts_now(self, bus: Bus) -> None:
        """What was before is not shown; what comes next is."""
        await bus.publish([record("a", "old")])
        stream = bus.tail([TOPIC])
        async with asyncio.timeout(PATIENCE):
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
        (last,) = await bus.end([TOPIC])
        await self.expire(bus, TOPIC)
        await bus.publish([record("a", "3")])
        old = Position(last.topic, last.partition, 0)
        with pytest.raises(PositionExpired):
            await anext(bus.tail([TOPIC], [old]))
        async with asyncio.timeout(PATIENCE):
            batch = await anext(bus.tail([TOPIC], [last]))
        assert [received.value for received in batch] == [b"3"]
        assert await bus.end([TOPIC]) == (Position(last.topic, last.partition, 3),)

    async def test_a_tail_behind_a_position_that_never_was_says_so(self, bus: Bus) -> None:
        """A position of another log (an older data folder, say) would hide what comes next."""
        await bus.publish([record("a", "0")])
        (last,) = await bus.end([TOPIC])
        with pytest.raises(PositionExpired):
            await anext(bus.tail([TOPIC], [Position(last.topic, last.partition, 17)]))

    async def test_a_bus_that_works_answers_the_probe(self, bus: Bus) -> None:
        """A probe changes nothing that others see."""
        await bus.probe()
        assert await bus.end([TOPIC]) == ()
