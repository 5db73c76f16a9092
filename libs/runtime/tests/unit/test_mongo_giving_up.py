"""Whoever gives up waiting for MongoDB leaves the client as it was: an operation under way is never broken off."""

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator

import pytest
from pymongo.errors import PyMongoError
from threadline_runtime.errors import ThreadlineError, TransientError
from threadline_runtime.mongo import MongoDatabase

NOBODY = "mongodb://127.0.0.1:9/nothing"


@pytest.fixture
async def database() -> AsyncIterator[MongoDatabase]:
    database = MongoDatabase.open(NOBODY)
    yield database
    await database.close()


async def test_an_operation_goes_on_when_its_caller_is_cancelled(database: MongoDatabase) -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def operation() -> None:
        await go.wait()
        done.set()

    caller = asyncio.create_task(database.ask(10, operation()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not done.is_set()
    go.set()
    await database.close()

    assert done.is_set()


async def test_who_asks_a_client_that_is_closing_is_told(database: MongoDatabase) -> None:
    """Also where what he asked for was given up before its first step."""

    async def operation() -> None:
        await asyncio.sleep(0)

    caller = asyncio.create_task(database.ask(10, operation()))
    await asyncio.sleep(0)
    for task in tuple(database._under_way):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 10)


async def test_an_error_that_nobody_waits_for_any_more_is_no_warning(database: MongoDatabase, caplog: pytest.LogCaptureFixture) -> None:
    async def operation() -> None:
        await asyncio.sleep(0)
        raise PyMongoError("refused")

    caller = asyncio.create_task(database.ask(10, operation()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await database.close()
    del caller
    gc.collect()

    assert not caplog.records


async def test_what_was_to_be_written_is_let_go_of_with_its_error(database: MongoDatabase) -> None:
    class Batch:
        pass

    async def operation(_: Batch) -> None:
        raise PyMongoError("refused")

    async def failing() -> "weakref.ref[Batch]":
        batch = Batch()
        with pytest.raises(ThreadlineError):
            await database.ask(10, operation(batch))
        return weakref.ref(batch)

    gc.disable()
    try:
        left = await failing()
        await asyncio.sleep(0)
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.timeout(60)
async def test_closing_waits_for_nothing_that_never_ends(database: MongoDatabase) -> None:
    never = asyncio.Event()

    async def operation() -> None:
        await never.wait()

    caller = asyncio.create_task(database.ask(None, operation()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])

    await database.close()


@pytest.mark.timeout(60)
async def test_many_who_give_up_at_the_clients_own_pace_leave_it_usable(database: MongoDatabase) -> None:
    """The client looks for a server every half second; on Python 3.11 a cancel at that moment once left its lock taken for ever."""
    chance = random.Random(5)

    async def give_up() -> None:
        for _ in range(3):
            try:
                async with asyncio.timeout(chance.choice([0.5, 1.0]) + chance.uniform(-0.01, 0.02)):
                    await database.probe()
            except TimeoutError:
                pass

    await asyncio.gather(*(give_up() for _ in range(150)))

    with pytest.raises(TransientError):
        await database.probe()
