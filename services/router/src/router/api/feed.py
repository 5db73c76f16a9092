"""The live feed: one tail of the timeline topic a process, read by any number of streams.

Recent changes lie in one ring that all streams share, so a slow stream holds no memory: it falls out of the ring and is ended, and its
client comes back with its position. Positions older than the ring are caught up from the bus. The ring keeps records as they came:
only who streams has them read, and what was read last is kept for the other streams.
Not here: the spelling of server-sent events (`stream`), and who may see what (`visible`).
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence

from threadline_events import topics
from threadline_events.timeline import AnyTimelineChange, parse_timeline_change
from threadline_runtime.bus.port import Bus, Position, Received
from threadline_runtime.errors import PositionExpired

from router.api.positions import Vector

__all__ = ["FeedClosed", "FeedLagged", "LiveFeed"]

_RING = 5_000
_RING_BYTES = 8 * 1024 * 1024
_READ = 256
_PAGE = 16
_PAGE_BYTES = 64 * 1024


class FeedLagged(Exception):  # noqa: N818 - not an error of ours: the reader was too slow
    """The reader fell out of the ring: it begins again from its own position."""


class FeedClosed(Exception):  # noqa: N818 - the process ends
    """The feed ended with its process."""


class LiveFeed:
    """Follows the timeline topic; `start` once, then `follow` for each stream."""

    def __init__(
        self, bus: Bus, *, ring: int = _RING, ring_bytes: int = _RING_BYTES, on_error: Callable[[Exception], None] | None = None
    ) -> None:
        self._bus = bus
        self._limit = ring
        self._byte_limit = ring_bytes
        self._on_error = on_error
        self._ring: deque[Received] = deque()
        self._read: OrderedDict[Position, AnyTimelineChange | None] = OrderedDict()
        self._bytes = 0
        self._first = 0
        self._end = Vector(topics.TIMELINE)
        self._news = asyncio.Condition()
        self._begun = False
        self._closed = False

    @property
    def begun(self) -> bool:
        """Whether the bus has said where the topic ends: before, there is no place to stream from."""
        return self._begun

    @property
    def end(self) -> Vector:
        """The place behind the newest change that the feed has seen."""
        return self._end

    async def start(self) -> None:
        """Note where the topic ends now; changes from here on are live."""
        self._end = Vector.of(topics.TIMELINE, await self._bus.end([topics.TIMELINE]))
        self._begun = True

    async def run(self) -> None:
        """Follow the topic until cancelled; a broken bus is tried again, nothing is skipped."""
        while True:
            try:
                await self._follow_bus()
            except Exception as error:
                if self._on_error is not None:
                    self._on_error(error)
            await asyncio.sleep(1)

    async def _follow_bus(self) -> None:
        try:
            async for records in self._bus.tail([topics.TIMELINE], self._end.positions()):
                await self._take(records)
        except PositionExpired:
            await self._begin_anew()

    async def _begin_anew(self) -> None:
        """The log was trimmed before this feed: every reader must come back with its own position, and will be told to read again."""
        async with self._news:
            self._first += len(self._ring) + 1
            self._ring.clear()
            self._bytes = 0
            self._news.notify_all()
        await self.start()

    async def close(self) -> None:
        """End every stream."""
        async with self._news:
            self._closed = True
            self._news.notify_all()

    def change_in(self, record: Received) -> AnyTimelineChange | None:
        """What a record says; None where it cannot be read: then only the place moves on."""
        if record.position not in self._read:
            self._read[record.position] = _change(record)
            if len(self._read) > _READ:
                self._read.popitem(last=False)
        return self._read[record.position]

    async def follow(self, place: Vector) -> AsyncGenerator[Sequence[Received], None]:
        """Every record behind `place`, for ever, a few together where they are there already.

        Raises PositionExpired, FeedLagged, FeedClosed.
        """
        if not self._end.covers(place):
            current = Vector.of(topics.TIMELINE, await self._bus.end([topics.TIMELINE]))
            if not current.covers(place):
                raise PositionExpired("this position lies beyond the end of the log")
        while not self._reaches(place):
            async for records in self._caught_up(place):
                for record in records:
                    place = place.after(record.position)
                yield records
        async for records in self._live(place):
            yield records

    def _reaches(self, place: Vector) -> bool:
        """Whether the ring holds everything behind `place` that the feed has seen."""
        if place.covers(self._end):
            return True
        lowest: dict[int, int] = {}
        for record in self._ring:
            lowest.setdefault(record.position.partition, record.position.offset)
        missing = {p: o for p, o in self._end.offsets.items() if place.offsets.get(p, -1) < o}
        return all(p in lowest and place.offsets.get(p, -1) >= lowest[p] - 1 for p in missing)

    async def _caught_up(self, place: Vector) -> AsyncIterator[Sequence[Received]]:
        goal = self._end
        async for records in self._bus.tail([topics.TIMELINE], place.positions()):
            at = 0
            while page := _page(records, at):
                yield page
                at += len(page)
            for record in records:
                place = place.after(record.position)
            if place.covers(goal):
                return

    async def _live(self, place: Vector) -> AsyncIterator[Sequence[Received]]:
        at = self._first
        while True:
            if at < self._first:
                raise FeedLagged
            if page := _page(self._ring, at - self._first):
                at += len(page)
                if unseen := [record for record in page if not place.has_seen(record.position)]:
                    yield unseen
                continue
            if self._closed:
                raise FeedClosed
            async with self._news:
                if at == self._first + len(self._ring) and not self._closed:
                    await self._news.wait()

    async def _take(self, records: Iterable[Received]) -> None:
        async with self._news:
            for record in records:
                self._ring.append(record)
                self._bytes += _size(record)
                self._end = self._end.after(record.position)
            while len(self._ring) > self._limit or (self._bytes > self._byte_limit and len(self._ring) > 1):
                self._bytes -= _size(self._ring.popleft())
                self._first += 1
            self._news.notify_all()


def _page(records: Sequence[Received], at: int) -> list[Received]:
    """What lies there, but no more than one turn of the loop may be spent on, and any number of slow streams may hold."""
    page: list[Received] = []
    size = 0
    for index in range(at, min(at + _PAGE, len(records))):
        page.append(records[index])
        size += _size(page[-1])
        if size >= _PAGE_BYTES:
            break
    return page


def _size(record: Received) -> int:
    return len(record.value or b"")


def _change(record: Received) -> AnyTimelineChange | None:
    try:
        return parse_timeline_change(record.value or b"")
    except ValueError:
        return None
