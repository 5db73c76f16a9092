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


async def test_who_asks_alone_reads_in_the_next_turn() -> None:
    """Each turn of the loop is one in which a busy process does something else first."""
    store = Store()
    reader = Gathered(store.read).one("a")
    reader.send(None)
    assert store.asked == []
    reader.send(None)
    assert store.asked == [("a",)]
    store.may_answer.set()
    with pytest.raises(StopIteration) as answered:
        reader.send(None)
    assert answered.value.value == 1


async def together(gathered: Gathered[int], *ids: str) -> list[asyncio.Task[int | None]]:
    """Readers of which the first reads alone and the others make up the next read."""
    first = asyncio.create_task(gathered.one(ids[0]))
    await begun(first)
    others = [asyncio.create_task(gathered.one(each)) for each in ids[1:]]
    await begun(*others)
    return [first, *others]


async def test_an_error_is_that_of_one_read_and_the_next_goes_on() -> None:
    store = Store()
    gathered = Gathered(store.read)
    readers = await together(gathered, "first", "a", "b")
    store.error = TransientError("away")
    store.may_answer.set()
    told = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(error) for error in told] == [TransientError] * 3
    assert store.asked == [("first",), ("a", "b")]
    store.error = None
    assert await gathered.one("a") == 3


@pytest.mark.parametrize("reading", [False, True])
async def test_who_leaves_does_not_take_the_answer_from_others(reading: bool) -> None:
    """The request that reads for others may be cancelled, before its read or in it, as when its client goes."""
    store = Store()
    gathered = Gathered(store.read)
    first, leaving, staying = await together(gathered, "first", "a", "a")
    store.may_answer.set()
    if reading:
        await first
        store.may_answer.clear()
        await begun(leaving, staying)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    store.may_answer.set()
    assert await staying == (3 if reading else 2)
    assert await gathered.one("a") == len(store.asked), "and it goes on"


async def test_who_waits_may_leave() -> None:
    store = Store()
    first, leading, leaving, staying = await together(Gathered(store.read), "first", "a", "b", "c")
    leaving.cancel()
    store.may_answer.set()
    assert await asyncio.gather(first, leading, staying) == [1, 2, 2]


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
    may_answer = asyncio.Event()

    async def read(ids: Iterable[str]) -> Mapping[str, int]:
        await may_answer.wait()
        if "damaged" in ids:
            raise ValueError("cannot be read")
        return dict.fromkeys(ids, 1)

    readers = await together(Gathered(read), "first", "good", "damaged", "better")
    may_answer.set()
    first, good, damaged, better = await asyncio.gather(*readers, return_exceptions=True)
    assert (first, good, better) == (1, 1, 1)
    assert isinstance(damaged, ValueError)


async def test_an_error_that_nobody_waits_for_is_no_news() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    store = Store()
    readers = await together(Gathered(store.read), "first", "a", "b")
    for leaving in readers:
        leaving.cancel()
    await asyncio.wait(readers)
    store.error = TransientError("away")
    store.may_answer.set()
    await begun()
    del leaving, readers, store
    gc.collect()
    assert told == []
