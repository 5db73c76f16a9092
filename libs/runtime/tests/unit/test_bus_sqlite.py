"""The bus on SQLite passes the behaviour suite, in memory and on a file."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from threadline_events.records import Record
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.port import Bus, Subscription
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.sqlite import MEMORY, SqliteDatabase
from threadline_runtime.testing.bus_suite import FAST, BusSuite, Seen, decode, drain, record

_TOPIC = "threadline.suite.v1"


class _OnSqlite(BusSuite):
    def where(self, place: Path) -> str:
        return str(place / "bus.db")

    async def make_bus(self, place: Path, partitions: int = 4) -> Bus:
        return await SqliteBus.open(
            SqliteDatabase.open(self.where(place)), partitions=partitions, retry=FAST, blobs=FileBlobs.open(place / "blobs")
        )

    async def expire(self, bus: Bus, topic: str) -> None:
        assert isinstance(bus, SqliteBus)
        await bus.trim(timedelta(seconds=-1))

    async def test_who_gathers_stops_at_once(self, bus: Bus) -> None:
        """P9: a stop does not wait for a batch to become larger."""
        seen = Seen()
        await bus.publish([record("a", "1")])
        async with asyncio.timeout(30), self.consuming(bus, seen.handle, gather_seconds=3600.0):
            await seen.until_all("1")
            await self.until_committed(bus)


class TestOnFile(_OnSqlite):
    pass


class TestInMemory(_OnSqlite):
    durable = False

    def where(self, place: Path) -> str:
        return MEMORY


async def test_nothing_is_trimmed_that_a_group_has_not_passed_or_that_is_young() -> None:
    """P8: the log is trimmed 14 days after every group has passed."""
    clock = [datetime(2026, 11, 1, tzinfo=UTC)]
    bus = await SqliteBus.open(SqliteDatabase.open(MEMORY), partitions=1, retry=FAST, now=lambda: clock[0])
    await bus.publish([record("a", str(n)) for n in range(5)])
    quick, slow = Seen(), Seen()
    for group, seen in (("quick", quick), ("slow", slow)):
        task = asyncio.create_task(bus.consume(Subscription((_TOPIC,), group, decode, seen.handle)))
        await seen.until(lambda values: len(values) == 5)
        await drain(task)
    clock[0] += timedelta(days=13)
    await bus.publish([record("a", "young")])
    assert await bus.trim() == 0
    clock[0] += timedelta(days=2)
    assert await bus.trim() == 5
    assert [r.value async for r in bus.read(_TOPIC)] == [b"young"]
    clock[0] += timedelta(days=20)
    assert await bus.trim() == 0, "no group has passed it"
    await bus.close()


async def test_a_flood_of_poison_is_a_line_in_the_log_and_not_a_flood_there() -> None:
    bus = await SqliteBus.open(SqliteDatabase.open(MEMORY), partitions=1, retry=FAST)
    await bus.publish([*(Record(_TOPIC, b"a", b"\xff") for _ in range(300)), record("a", "good")])
    seen = Seen()
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(bus.consume(Subscription((_TOPIC,), "g", decode, seen.handle, max_records=400)))
        await seen.until_all("good")
        await drain(task)
    await bus.close()

    (line,) = [one for one in logs if one["event"] == "records set aside"]
    assert (line["count"], line["error_class"]) == (300, "UnicodeDecodeError")
    assert line["first"] == {"topic": _TOPIC, "partition": 0, "offset": 0}


async def test_another_process_publishes_and_the_consumers_see_it(tmp_path: Path) -> None:
    """`threadline dlq redrive` works beside a running `up`."""
    bus = await SqliteBus.open(SqliteDatabase.open(tmp_path / "bus.db"), retry=FAST)
    other = await SqliteBus.open(SqliteDatabase.open(tmp_path / "bus.db"), retry=FAST)
    seen = Seen()
    task = asyncio.create_task(bus.consume(Subscription((_TOPIC,), "g", decode, seen.handle)))
    await other.publish([Record(_TOPIC, b"a", b"1")])
    await seen.until_all("1")
    await drain(task)
    await other.close()
    await bus.close()
