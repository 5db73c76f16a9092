"""The bus on SQLite: an append-only log with group offsets, for one process (`threadline up`, tests).

Publishers and consumers share one process, so a publish wakes the consumers at once; another process may only
read and publish (the consumers see that within a second). Not here: statements (`sqlite_log`), failing records (`processing`).
"""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from threadline_events.records import Record

from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus import sqlite_log as log
from threadline_runtime.bus.groups import Group, Member
from threadline_runtime.bus.port import PartitionProgress, Position, RawRecord, Received, Subscription
from threadline_runtime.bus.processing import ConsumerWatch, Processor, RetryPolicy, Stopped, Surroundings, Unwatched
from threadline_runtime.errors import PositionExpired, TransientError
from threadline_runtime.failpoints import failpoint
from threadline_runtime.sqlite import SqliteDatabase

__all__ = ["KEEP", "SqliteBus"]

T = TypeVar("T")
KEEP = timedelta(days=14)
_POLL_SECONDS = 1.0
_PAGE = 500
_TRIM_PAGE = 2000


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteBus:
    """The `Bus` port over one SqliteDatabase, which the bus closes when it is closed."""

    def __init__(self, database: SqliteDatabase, partitions: int, surroundings: Surroundings) -> None:
        self._database = database
        self._partition_count = partitions
        self._around = surroundings
        self._topics: dict[str, tuple[log.LogPartition, ...]] = {}
        self._groups: dict[str, Group[log.LogPartition]] = {}
        self._sleepers: dict[str, set[asyncio.Event]] = {}

    @classmethod
    async def open(
        cls,
        database: SqliteDatabase,
        *,
        partitions: int = 12,
        version: str = "0",
        retry: RetryPolicy | None = None,
        watch: ConsumerWatch | None = None,
        blobs: BlobStore | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> "SqliteBus":
        """Make the tables and answer a bus; raises TransientError when the file cannot be written."""
        await database.write(log.create_tables)
        around = Surroundings(now, time.monotonic, random.random, version, retry or RetryPolicy(), watch or Unwatched(), blobs)
        return cls(database, partitions, around)

    async def publish(self, records: Sequence[Record], *, then: Sequence[Record] = ()) -> None:
        """See the port; here all of it is one transaction."""
        await self.publish_raw([RawRecord(r.topic, r.key, r.value, tuple(r.headers.items())) for r in (*records, *then)])

    async def publish_raw(self, records: Sequence[RawRecord]) -> None:
        """See the port."""
        names = {record.topic for record in records}
        await self._sources(names)
        await failpoint("bus.before_publish")
        now = self._around.now()
        await self._database.write(lambda connection: log.append(connection, records, self._topics, now))
        await failpoint("bus.after_publish")
        for name in names:
            for event in self._sleepers.get(name, ()):
                event.set()

    async def consume(self, subscription: Subscription[T]) -> None:
        """See the port. A first cancel lets the batch in hand end, a second one breaks it off (it comes again)."""
        sources = await self._registered(subscription)
        member: Member[log.LogPartition] = Member(sources)
        group = self._groups.setdefault(subscription.group, Group())
        group.join(member)
        stopping = asyncio.Event()
        work = asyncio.create_task(self._consume(subscription, group, member, stopping))
        try:
            with self._sleeping(subscription.topics, member.wake):
                await asyncio.shield(work)
        except asyncio.CancelledError:
            stopping.set()
            member.wake.set()
            with contextlib.suppress(Exception):  # what was not committed comes again
                await work
            raise
        finally:
            group.leave(member)

    async def _registered(self, subscription: Subscription[T]) -> tuple[log.LogPartition, ...]:
        """Make the group known; waits while the file cannot be written."""
        failures = 0
        while True:
            try:
                sources = await self._sources(subscription.topics)
                await self._database.write(partial(log.register_group, group=subscription.group, sources=sources))
            except TransientError as error:
                failures += 1
                self._around.watch.retrying(subscription.group, type(error).__name__)
                await asyncio.sleep(self._around.retry.pause(failures, self._around.jitter()))
            else:
                return sources

    async def _consume(
        self, subscription: Subscription[T], group: Group[log.LogPartition], member: Member[log.LogPartition], stopping: asyncio.Event
    ) -> None:
        offsets: dict[log.LogPartition, int] = {}
        sources = {(source.topic, source.partition): source for source in member.wants}

        async def commit(records: Sequence[Received]) -> None:
            done = _next_offsets(records, sources)
            await failpoint("bus.before_commit")
            await self._database.write(lambda connection: log.commit_offsets(connection, subscription.group, done))
            offsets.update(done)

        processor = Processor(subscription, publish=self.publish_raw, commit=commit, surroundings=self._around, stopping=stopping)
        turn = 0
        while not stopping.is_set():
            member.wake.clear()
            turn += 1
            batch = await self._next_batch(subscription, group.share(member), offsets, turn)
            if batch:
                with contextlib.suppress(Stopped):
                    await processor.process(batch)
                if subscription.gather_seconds is not None and len(batch) < subscription.max_records:
                    await _sleep(stopping, subscription.gather_seconds)
            else:
                await _sleep(member.wake, _POLL_SECONDS)

    async def _next_batch(
        self, subscription: Subscription[T], owned: frozenset[log.LogPartition], offsets: dict[log.LogPartition, int], turn: int
    ) -> list[Received]:
        """The next records of what is owned; none when the file cannot be read now (the caller waits and asks again)."""
        try:
            for lost in offsets.keys() - owned:
                del offsets[lost]
            gained = sorted(owned - offsets.keys(), key=_by_id)
            if gained:
                offsets.update(await self._database.look(lambda connection: log.committed_offsets(connection, subscription.group, gained)))
            wants = [log.Want(source, offset) for source, offset in offsets.items()]
            start = turn % max(1, len(wants))
            wants = wants[start:] + wants[:start]
            batch = await self._database.look(lambda connection: log.fetch(connection, wants, subscription.max_records))
        except TransientError as error:
            self._around.watch.retrying(subscription.group, type(error).__name__)
            return []
        self._around.watch.polled(subscription.group)
        return batch

    async def tail(self, topics: Sequence[str], after: Sequence[Position] | None = None) -> AsyncIterator[Sequence[Received]]:
        """See the port. Without `after` it starts at the end as it is when the first batch is asked for."""
        sources = await self._sources(topics)
        seen = None if after is None else {(place.topic, place.partition): place.offset + 1 for place in after}
        spans = await self._database.look(lambda connection: log.spans(connection, sources))
        offsets = {span.source: _start(span, seen) for span in spans}
        by_name = {(source.topic, source.partition): source for source in sources}
        wake = asyncio.Event()
        with self._sleeping(topics, wake):
            while True:
                wake.clear()
                wants = [log.Want(source, offset) for source, offset in offsets.items()]
                batch = await self._database.look(partial(_fetch_whole, wants=wants))
                if batch:
                    offsets.update(_next_offsets(batch, by_name))
                    yield batch
                else:
                    await _sleep(wake, _POLL_SECONDS)

    async def read(self, topic: str, since: datetime | None = None) -> AsyncIterator[Received]:
        """See the port; partition after partition."""
        sources = await self._sources([topic])
        spans = await self._database.read(lambda connection: log.spans(connection, sources))
        for span in spans:
            offset = span.first
            while offset < span.next:
                want = [log.Want(span.source, offset)]
                page = await self._database.read(partial(log.fetch, wants=want, limit=_PAGE))
                for record in page:
                    if record.position.offset < span.next and (since is None or record.timestamp >= since):
                        yield record
                offset = page[-1].position.offset + 1 if page else span.next

    async def end(self, topics: Sequence[str]) -> tuple[Position, ...]:
        """See the port."""
        sources = await self._sources(topics)
        spans = await self._database.read(lambda connection: log.spans(connection, sources))
        return tuple(Position(span.source.topic, span.source.partition, span.next - 1) for span in spans if span.next)

    async def progress(self, group: str, topics: Sequence[str]) -> tuple[PartitionProgress, ...]:
        """See the port."""
        sources = await self._sources(topics)
        return await self._database.read(lambda connection: log.group_progress(connection, group, sources))

    async def probe(self) -> None:
        """See the port: a row is really written."""
        await self._database.write(log.touch)

    async def trim(self, keep: timedelta = KEEP) -> int:
        """Delete records older than `keep` that every group has passed, in small steps; how many there were. Call it now and then."""
        before = self._around.now() - keep
        total = 0
        for source in await self._sources(await self._database.read(log.all_topics)):
            while deleted := await self._database.write(partial(log.trim_partition, source=source, before=before, at_most=_TRIM_PAGE)):
                total += deleted
        return total

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.close()

    async def _sources(self, topics: Iterable[str]) -> tuple[log.LogPartition, ...]:
        for topic in topics:
            if topic not in self._topics:
                self._topics[topic] = await self._database.write(partial(log.ensure_topic, topic=topic, partitions=self._partition_count))
        return tuple(source for topic in topics for source in self._topics[topic])

    @contextlib.contextmanager
    def _sleeping(self, topics: Sequence[str], event: asyncio.Event) -> Iterator[None]:
        """Have `event` set by each publish on one of the topics."""
        for topic in topics:
            self._sleepers.setdefault(topic, set()).add(event)
        try:
            yield
        finally:
            for topic in topics:
                self._sleepers[topic].discard(event)


def _by_id(source: log.LogPartition) -> int:
    return source.id


def _next_offsets(records: Sequence[Received], sources: Mapping[tuple[str, int], log.LogPartition]) -> dict[log.LogPartition, int]:
    """Behind the last record of each partition."""
    return {sources[r.position.topic, r.position.partition]: r.position.offset + 1 for r in records}


def _start(span: log.Span, seen: Mapping[tuple[str, int], int] | None) -> int:
    """Where a tail starts in a partition; one that is not named had nothing when the position was taken."""
    if seen is None:
        return span.next
    offset = seen.get((span.source.topic, span.source.partition), 0)
    if not span.first <= offset <= span.next:
        raise PositionExpired("the log no longer holds what follows this position: read again from the store")
    return offset


def _fetch_whole(connection: sqlite3.Connection, wants: Sequence[log.Want]) -> list[Received]:
    """The next records, or PositionExpired where the log was trimmed past the reader."""
    first = {span.source: span.first for span in log.spans(connection, [want.source for want in wants])}
    if any(first[want.source] > want.offset for want in wants):
        raise PositionExpired("this reader is so far behind that records were trimmed before it: read again from the store")
    return log.fetch(connection, wants, _PAGE)


async def _sleep(wake: asyncio.Event, seconds: float) -> None:
    """Wait to be woken, but not for ever: another process may have published."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # `wait_for` of Python 3.11 loses a cancel that comes together with the wake
            await wake.wait()
