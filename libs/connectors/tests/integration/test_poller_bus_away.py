"""A source while the real bus stalls: nothing is acknowledged, little is held, the state says so, and it goes on by itself."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from threadline_connectors.accounts import Condition
from threadline_connectors.testing.poller_rig import PollerRig, poller_rig
from threadline_connectors.testing.shelf import SOURCE, Shelf, shelf_feed
from threadline_events import topics
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_topics import plans_for
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import TransientError
from threadline_runtime.sqlite import SqliteDatabase
from threadline_runtime.testing.kafka import Kafka, running_kafka
from threadline_runtime.testing.kafka_places import QUICK, make_afresh

pytestmark = pytest.mark.integration
_THINGS = 600
Stall = Callable[[Kafka], contextlib.AbstractAsyncContextManager[None]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kafka]:
    """A Kafka behind a proxy, for this module alone."""
    with running_kafka(proxied=True) as cluster:
        yield cluster


async def _until_published(rig: PollerRig, count: int) -> None:
    async with asyncio.timeout(30):
        while int(await rig.checkpoints.position(SOURCE) or 0) < count:  # noqa: ASYNC110 - a checkpoint has no event
            await asyncio.sleep(0.01)


async def _stalls_and_goes_on(rig: PollerRig, shelf: Shelf, stall: contextlib.AbstractAsyncContextManager[None], reason: str) -> None:
    """Stall the bus while much is on its way; then all of it arrives."""
    async with rig.running([shelf_feed(shelf)]):
        await _until_published(rig, 20)
        async with stall:
            state = await rig.until(SOURCE, Condition.HELD_BACK)
            assert not state.healthy
            async with asyncio.timeout(30):
                while reason not in (state.reason or ""):  # first that it takes long, then why
                    await asyncio.sleep(0.01)
                    state = rig.services.board.state(SOURCE) or state
            position, fetched = await rig.checkpoints.position(SOURCE), shelf.out
            await asyncio.sleep(1)  # several tries of the publisher: the stimulus
            assert await rig.checkpoints.position(SOURCE) == position
            assert shelf.out == fetched <= 6 * shelf.batch
            assert rig.services.board.state(SOURCE) == state
        await rig.until(SOURCE, Condition.LISTENING, within=60)
        assert await rig.checkpoints.position(SOURCE) == str(_THINGS)
    assert {intake.raw for intake in await rig.intakes()} == {thing.encode() for thing in shelf.things}
    assert {event.text for event in await rig.events()} == set(shelf.things)
    assert shelf.log.count("start") == 1


@contextlib.asynccontextmanager
async def _held(cluster: Kafka) -> AsyncIterator[None]:
    """Nothing passes, and connections stay open: publishes hang."""
    cluster.proxies[0].hold(up=True, down=True)
    try:
        yield
    finally:
        cluster.proxies[0].heal()


@contextlib.asynccontextmanager
async def _cut(cluster: Kafka) -> AsyncIterator[None]:
    """Connections are refused: publishes fail."""
    cluster.proxies[0].cut()
    try:
        yield
    finally:
        cluster.proxies[0].heal()


@pytest.mark.parametrize("how", [_held, _cut])
async def test_kafka_is_gone_for_a_while(
    cluster: Kafka, tmp_path: Path, how: Callable[[Kafka], contextlib.AbstractAsyncContextManager[None]]
) -> None:
    """P1: over the network."""
    await make_afresh(cluster.url, plans_for([topics.INBOUND, topics.INTAKES], 2))
    bus = KafkaBus.open(cluster.proxied_url, pace=replace(QUICK, publish_seconds=0.5, request_seconds=0.5))
    shelf = Shelf([f"thing {number}" for number in range(_THINGS)])
    async with poller_rig(tmp_path, bus=bus) as rig:
        await _stalls_and_goes_on(rig, shelf, how(cluster), "Kafka")


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    other = sqlite3.connect(path, isolation_level=None, timeout=10)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_sqlite_file_is_locked_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: another program holds the file."""
    monkeypatch.setattr("threadline_runtime.sqlite._BUSY_MS", 1)
    bus = await SqliteBus.open(SqliteDatabase.open(tmp_path / "bus.db"))
    shelf = Shelf([f"thing {number}" for number in range(_THINGS)])
    async with poller_rig(tmp_path, bus=bus) as rig:
        await _stalls_and_goes_on(rig, shelf, _locked(tmp_path / "bus.db"), "locked")


@contextlib.asynccontextmanager
async def _full(database: SqliteDatabase) -> AsyncIterator[None]:
    (pages,) = await database.write(lambda c: c.execute("PRAGMA page_count").fetchone())
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages + 20}").fetchone())
    try:
        yield
    finally:
        # It takes effect at once, also where it shares a transaction with what did not fit.
        with contextlib.suppress(TransientError):
            await database.write(lambda c: c.execute("PRAGMA max_page_count=1073741823").fetchone())


async def test_a_disk_is_full_for_a_while(tmp_path: Path) -> None:
    """P1: there is no room for another page."""
    database = SqliteDatabase.open(tmp_path / "bus.db")
    bus = await SqliteBus.open(database)
    shelf = Shelf([f"thing {number} {'x' * 5_000}" for number in range(_THINGS)])
    async with poller_rig(tmp_path, bus=bus) as rig:
        await _stalls_and_goes_on(rig, shelf, _full(database), "disk full")
