"""P1, P2: two processes whose clocks differ by hours never hold one lease at a time, and a dead one's lease is taken over."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from threadline_runtime.leases.leases import BEAT_SECONDS, Leases
from threadline_runtime.leases.mongo import MongoLeaseStore
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.mongo import MongoDatabase
from threadline_runtime.sqlite import SqliteDatabase
from threadline_runtime.testing.mongodb import database_url

pytestmark = pytest.mark.faults
LOOK_SECONDS = 4.0
RUN_SECONDS = 300.0


class World:
    """Simulated time: what has really passed, and each process's own wall clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        self.skew = 0.0
        monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0 + self.passed + self.skew)

    @contextmanager
    def on_the_clock_of(self, skew: float) -> Iterator[None]:
        self.skew = skew
        yield
        self.skew = 0.0


@pytest.fixture(params=["sqlite", "kafka-mongodb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteLeaseStore | MongoLeaseStore]:
    if request.param == "sqlite":
        database = SqliteDatabase.open(tmp_path / "leases.db")
        yield SqliteLeaseStore(database)
        await database.close()
        return
    mongodb = MongoDatabase.open(database_url(request.getfixturevalue("mongodb_server"), f"threadline_test_{uuid.uuid4().hex[:12]}"))
    yield MongoLeaseStore(mongodb)
    await mongodb.drop()
    await mongodb.close()


async def test_a_living_holder_is_never_deposed_and_a_dead_one_is(
    store: SqliteLeaseStore | MongoLeaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.migrate()
    world = World(monkeypatch)
    for skew in (3600.0, -3600.0, 0.0):
        await one_lives_and_dies(world, store, skew)


async def one_lives_and_dies(world: World, store: SqliteLeaseStore | MongoLeaseStore, skew: float) -> None:
    mailbox, names = f"mailbox {skew}", (f"first {skew}", f"second {skew}")
    world.passed = 0.0
    first = Leases(store, names[0], lambda: world.passed)
    second = Leases(store, names[1], lambda: 77.0 + world.passed)
    with world.on_the_clock_of(0.0):
        held = await first.attempt(mailbox)
    assert held is not None
    next_beat, dies_at, taken_at = 0.0, RUN_SECONDS / 2, None

    while world.passed < RUN_SECONDS and taken_at is None:
        if world.passed >= next_beat and world.passed < dies_at:
            with world.on_the_clock_of(0.0):
                await first.raise_beat()
            next_beat += BEAT_SECONDS
        with world.on_the_clock_of(skew):
            if await second.attempt(mailbox) is not None:
                taken_at = world.passed
        world.passed += LOOK_SECONDS

    assert taken_at is not None, "nobody took over from the dead holder"
    assert taken_at > dies_at, f"two holders: the second took it at {taken_at} s, the first died at {dies_at} s"
