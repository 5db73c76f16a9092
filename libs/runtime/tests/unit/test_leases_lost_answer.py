"""A lease that was taken while the store's answer got lost is ours, not taken from everybody by a process that goes on beating."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from threadline_runtime.errors import TransientError
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.port import Lease
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.sqlite import MEMORY, SqliteDatabase
from threadline_runtime.testing.lease_suite import Clock


class _Mute(SqliteLeaseStore):
    """A store whose answer to a taking gets lost."""

    async def take(self, name: str, seen: Lease | None, holder: str) -> Lease | None:
        await super().take(name, seen, holder)
        raise TransientError("the connection was cut")


class _Late(SqliteLeaseStore):
    """A store where the first taking lands while the second is under way."""

    first: tuple[str, Lease | None, str] | None = None

    async def take(self, name: str, seen: Lease | None, holder: str) -> Lease | None:
        if self.first is None:
            self.first = name, seen, holder
            raise TransientError("given up")
        await super().take(*self.first)
        return await super().take(name, seen, holder)


@asynccontextmanager
async def failed_once(kind: type[SqliteLeaseStore]) -> AsyncIterator[tuple[SqliteLeaseStore, Leases]]:
    """A store of that kind and a process whose first attempt failed there."""
    database = SqliteDatabase.open(MEMORY)
    store = kind(database)
    await store.migrate()
    leases = Leases(store, "a", Clock(0))
    with pytest.raises(TransientError):
        await leases.attempt("mailbox")
    yield store, leases
    await database.close()


async def test_a_taking_whose_answer_got_lost_is_found_at_the_next_attempt() -> None:
    """P8: one cut connection does not stop a mailbox until the process is restarted."""
    async with failed_once(_Mute) as (store, leases):
        lease = await leases.attempt("mailbox")
        assert lease == Lease("mailbox", "a", 1)
        await leases.release(lease)
        assert (await store.look("mailbox")).lease == Lease("mailbox", None, 1)


async def test_a_taking_that_was_given_up_and_lands_late_is_ours() -> None:
    """P8: who loses to himself has won."""
    async with failed_once(_Late) as (_, leases):
        assert await leases.attempt("mailbox") is None, "this one was beaten by the first"
        assert await leases.attempt("mailbox") == Lease("mailbox", "a", 1)
