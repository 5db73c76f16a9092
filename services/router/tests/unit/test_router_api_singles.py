"""Gathered reads: a burst of readers costs one or two reads, each answer was read after it was asked for, nobody waits in vain."""

import asyncio
import gc
from collections.abc import Iterable, Mapping

import pytest
from router.api.singles import Gathered
from threadline_runtime.errors import TransientError


class Store:
    """Answers with how often it was asked before, once it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, ids: Iterable[str]) -> Mapping[str, int]:
        self.asked.append(tuple(ids))
        turn = len(self.asked)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {each: turn for each in self.asked[turn - 1] if each != "none"}


async def begun(*tasks: asyncio.Task[int | None]) -> None:
    """Let them come as far as they can."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_a_burst_of_readers_costs_two_reads() -> None:
    """What was asked for while a read was under way is read anew, all together, and in that read once each."""
    store = Store()
    gathered = Gathered(store.read)
    first = [asyncio.create_task(gathered.one(each)) for each in ("a", "b")]
    await begun(*first)
    later = [asyncio.create_task(gathered.one(each)) for each in ("a", "c", "a", "none")]
    await begun(*later)
    store.may_answer.set()
    assert await asyncio.gather(*first, *later) == [1, 1, 2, 2, 2, None]
    assert store.asked == [("a", "b"), ("a", "c", "none")]


async def test_an_error_is_that_of_one_read_and_the_next_goes_on() -> None:
    store = Store()
    store.error = TransientError("away")
    store.may_answer.set()
    gathered = Gathered(store.read)
    told = await asyncio.gather(gathered.one("a"), gathered.one("b"), return_exceptions=True)
    assert [type(error) for error in told] == [TransientError, TransientError]
    store.error = None
    assert await gathered.one("a") == 2


async def test_who_leaves_does_not_take_the_answer_from_others() -> None:
    """The request that began the read may be cancelled, as when its client goes."""
    store = Store()
    gathered = Gathered(store.read)
    leaving, staying = (asyncio.create_task(gathered.one("a")) for _ in range(2))
    await begun(leaving, staying)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    store.may_answer.set()
    assert await staying == 1


async def test_a_read_that_hangs_holds_up_nobody() -> None:
    """P5: one silent connection of the pool must not stop all requests of the process."""
    hanging, quick = asyncio.Event(), Store()
    quick.may_answer.set()

    async def read(ids: Iterable[str]) -> Mapping[str, int]:
        if "a" in ids:
            await hanging.wait()
        return await quick.read(ids)

    gathered = Gathered(read)
    stuck = asyncio.create_task(gathered.one("a"))
    await begun(stuck)
    assert await gathered.one("b") == 1
    assert not stuck.done()
    hanging.set()
    assert await stuck == 2


async def test_a_document_that_cannot_be_read_does_not_answer_for_others() -> None:
    async def read(ids: Iterable[str]) -> Mapping[str, int]:
        if "damaged" in ids:
            raise ValueError("cannot be read")
        return dict.fromkeys(ids, 1)

    gathered = Gathered(read)
    good, damaged = await asyncio.gather(gathered.one("good"), gathered.one("damaged"), return_exceptions=True)
    assert good == 1
    assert isinstance(damaged, ValueError)


async def test_an_error_that_nobody_waits_for_is_no_news() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    store = Store()
    gathered = Gathered(store.read)
    leaving = asyncio.create_task(gathered.one("a"))
    await begun(leaving)
    leaving.cancel()
    await asyncio.wait([leaving])
    store.error = TransientError("away")
    store.may_answer.set()
    await begun()
    del leaving, gathered, store
    gc.collect()
    assert told == []
