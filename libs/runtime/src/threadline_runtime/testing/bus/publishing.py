"""Publish and read: durable, in order, byte for byte."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from threadline_runtime.bus.port import Bus, RawRecord
from threadline_runtime.testing.bus.rig import OTHER, TOPIC, BusRig, Seen, record

__all__ = ["PublishingSuite"]


class PublishingSuite(BusRig):
    """Publish and read: durable, in order, byte for byte."""

    async def test_what_was_published_is_there_byte_for_byte(self, bus: Bus) -> None:
        """P6: arbitrary bytes in headers, repeated and empty headers, no key, no value, a large value."""
        headers = (("a", b"\xff\x00\xfe"), ("a", b""), ("n", None), ("text", "ü".encode()))
        large = bytes(range(256)) * 3000
        await bus.publish_raw(
            [RawRecord(TOPIC, b"\xff\x00", large, headers), RawRecord(TOPIC, None, b"", ()), RawRecord(TOPIC, b"k", None, headers)]
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
        await bus.publish([record("a", f"event {n}") for n in range(20)], then=[record("x", "intake", OTHER)])
        assert [received.value for received in await self.all_of(bus, OTHER)] == [b"intake"]
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
        assert [received async for received in bus.read(TOPIC, datetime(2999, 1, 1, tzinfo=UTC))] == []
        assert [received async for received in bus.read(TOPIC, last)]
