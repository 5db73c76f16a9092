"""Leases on SQLite pass the suite; the beat loop keeps and gives up."""

import asyncio

from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.port import LeaseStore
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.sqlite import MEMORY, SqliteDatabase
from threadline_runtime.testing.lease_suite import Clock, LeaseSuite


async def _store() -> SqliteLeaseStore:
    store = SqliteLeaseStore(SqliteDatabase.open(MEMORY))
    await store.migrate()
    return store


class TestLeasesOnSqlite(LeaseSuite):
    async def make_store(self) -> LeaseStore:
        return await _store()


async def test_a_process_that_ends_gives_up_what_it_held() -> None:
    """A clean stop lets another replica go on at once."""
    store = await _store()
    first = Leases(store, "a", Clock(0))
    beating = asyncio.create_task(first.run())
    lease = await first.hold("mailbox")
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    assert not await first.is_held(lease)
    assert (await store.look("mailbox")).beat is None
    assert await Leases(store, "b", Clock(0)).attempt("mailbox")


async def test_a_process_that_starts_looks_for_the_dead() -> None:
    """The beats of killed processes do not pile up."""
    store = await _store()
    await store.beat("killed", 7)
    beating = asyncio.create_task(Leases(store, "up", Clock(0), sole=True).run())
    async with asyncio.timeout(5):
        while "killed" in await store.beats():
            pass
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
