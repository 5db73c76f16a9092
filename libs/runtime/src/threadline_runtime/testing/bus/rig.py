"""What the parts of the bus's suite share: a bus to test, consumers, and waiting on conditions.

Not here: any test.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest_asyncio
from threadline_events.records import Record

from threadline_runtime.bus.port import Bus, Message, Received, SetAside, Subscription
from threadline_runtime.bus.processing import RetryPolicy

__all__ = ["FAST", "OTHER", "PATIENCE", "TOPIC", "BusRig", "Seen", "decode", "drain", "eventually", "record"]

FAST = RetryPolicy(first=0.001, most=0.01, alone=(0.001, 0.001, 0.001, 0.001))
PATIENCE = 30.0
TOPIC = "threadline.suite.v1"
OTHER = "threadline.other.v1"

Handler = Callable[[Sequence[Message[str]]], Awaitable[None]]


def record(key: str, value: str, topic: str = TOPIC) -> Record:
    """A small record."""
    return Record(topic, key.encode(), value.encode(), {"ce_id": value.encode()})


def decode(received: Received) -> str:
    """The text of a record; a value that is none or no UTF-8 cannot be decoded."""
    if received.value is None:
        raise ValueError("no value")
    return received.value.decode()


class Seen:
    """Collects what a consumer handled and lets a test wait for it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._changed = asyncio.Event()

    @property
    def values(self) -> list[str]:
        """All that was handled, in order."""
        return [value for batch in self.batches for value in batch]

    async def handle(self, messages: Sequence[Message[str]]) -> None:
        """Handle a batch: remember it."""
        self.batches.append([message.body for message in messages])
        self._changed.set()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        """Wait until the values fulfil the condition."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self.values):
                self._changed.clear()
                await self._changed.wait()

    async def until_all(self, *values: str) -> None:
        """Wait until each of the values was seen."""
        await self.until(lambda seen: set(values) <= set(seen))


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a question is answered with yes."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - a bus has no event for every question
            await asyncio.sleep(0.005)


async def drain(task: "asyncio.Task[None]") -> None:
    """Cancel a consumer once, unless that was done, and wait until it has ended."""
    if not task.cancelling():
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class BusRig(ABC):
    """What every adapter promises. `make_bus` opens a bus on `place`; a second call on the same place sees the same log."""

    durable = True
    """Whether a bus opened again on the same place still holds what was published."""

    @abstractmethod
    async def make_bus(self, place: Path, partitions: int = 4) -> Bus:
        """A bus with the retry policy FAST and topics of so many partitions, made on first use."""

    @abstractmethod
    async def expire(self, bus: Bus, topic: str) -> None:
        """Trim all records of a topic that lie on the bus now."""

    @pytest_asyncio.fixture
    async def bus(self, tmp_path: Path) -> AsyncIterator[Bus]:
        """The bus under test."""
        bus = await self.make_bus(tmp_path)
        yield bus
        await bus.close()

    @contextlib.asynccontextmanager
    async def consuming(
        self,
        bus: Bus,
        handle: Handler,
        *,
        topics: tuple[str, ...] = (TOPIC,),
        group: str = "group",
        max_records: int = 500,
        on_dead_letters: Callable[[Sequence[SetAside]], Awaitable[None]] | None = None,
        probes: tuple[Callable[[], Awaitable[None]], ...] = (),
        gather_seconds: float | None = None,
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """A consumer that runs while the block does, and then is drained."""
        subscription = Subscription(topics, group, decode, handle, on_dead_letters, max_records, probes, gather_seconds=gather_seconds)
        task = asyncio.create_task(bus.consume(subscription))
        try:
            yield task
        finally:
            await drain(task)

    async def committed(self, bus: Bus, group: str = "group", topics: Sequence[str] = (TOPIC,)) -> bool:
        """Whether the group has passed all there is."""
        return all(part.committed == part.end for part in await bus.progress(group, topics))

    async def until_committed(self, bus: Bus, group: str = "group") -> None:
        """Wait until the group has passed all there is."""
        await eventually(lambda: self.committed(bus, group))

    async def all_of(self, bus: Bus, topic: str = TOPIC) -> list[Received]:
        """All records of a topic."""
        return [received async for received in bus.read(topic)]
