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
