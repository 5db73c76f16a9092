"""The bus on Kafka: FastStream for groups, aiokafka for the rest, each overruled where its defaults would lose a message.

Opening connects to nothing, so a process starts while Kafka is away and goes on when it is back. Topics are made by `migrate` only.
Not here: a member of a group (`kafka_member`), the producer (`kafka_producer`), failing records (`processing`).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from threadline_events.records import Record

from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.kafka_connection import KafkaConnection, KafkaPace, broker_security, read_servers
from threadline_runtime.bus.kafka_member import KafkaMember
from threadline_runtime.bus.kafka_positions import KafkaPositions, Span
from threadline_runtime.bus.kafka_producer import KafkaPublisher
from threadline_runtime.bus.kafka_reading import follow, read_between
from threadline_runtime.bus.kafka_topics import TopicPlan, all_plans
from threadline_runtime.bus.port import PartitionProgress, Position, RawRecord, Received, Subscription
from threadline_runtime.bus.processing import ConsumerWatch, RetryPolicy, Surroundings, Unwatched
from threadline_runtime.errors import PositionExpired, TransientError
from threadline_runtime.failpoints import failpoint
from threadline_runtime.settings import BusSecurity

__all__ = ["KafkaBus"]

T = TypeVar("T")
_WELL_SECONDS = 60.0
_log = structlog.stdlib.get_logger("threadline.bus")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class KafkaBus:
    """The `Bus` port over one cluster."""

    def __init__(self, connection: KafkaConnection, surroundings: Surroundings) -> None:
        self._connection = connection
        self._around = surroundings
        self._publisher = KafkaPublisher(connection)
        self._positions = KafkaPositions(connection)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        security: BusSecurity | None = None,
        version: str = "0",
        retry: RetryPolicy | None = None,
        watch: ConsumerWatch | None = None,
        blobs: BlobStore | None = None,
        now: Callable[[], datetime] = _utc_now,
        pace: KafkaPace | None = None,
    ) -> "KafkaBus":
        """A bus on `kafka://host:port,host:port`; raises ConfigurationError. Must be called in the event loop that will use it."""
        connection = KafkaConnection(read_servers(url), broker_security(security or BusSecurity()), pace or KafkaPace())
        return cls(
            connection, Surroundings(now, time.monotonic, random.random, version, retry or RetryPolicy(), watch or Unwatched(), blobs)
        )

    async def migrate(self, plans: Sequence[TopicPlan] | None = None) -> tuple[str, ...]:
        """Make the topics that are missing; answers their names. Raises TransientError, ConfigurationError."""
        return await self._positions.migrate(all_plans() if plans is None else plans)

    async def publish(self, records: Sequence[Record], *, then: Sequence[Record] = ()) -> None:
        """See the port; `then` is sent once Kafka has confirmed all of `records`."""
        await failpoint("bus.before_publish")
        await self._publisher.publish(_raw(records))
        if then:
            await failpoint("bus.between_publishes")
            await self._publisher.publish(_raw(then))
        await failpoint("bus.after_publish")

    async def publish_raw(self, records: Sequence[RawRecord]) -> None:
        """See the port."""
        await failpoint("bus.before_publish")
        await self._publisher.publish(records)
        await failpoint("bus.after_publish")

    async def consume(self, subscription: Subscription[T]) -> None:
        """See the port. A first cancel lets the batch in hand end, a second one breaks it off (it comes again)."""
        stopping = asyncio.Event()
        work = asyncio.create_task(self._consume(subscription, stopping))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            stopping.set()
            with contextlib.suppress(Exception):  # what was not committed comes again
                await work
            raise

    async def _consume(self, subscription: Subscription[T], stopping: asyncio.Event) -> None:
        """One member after the other, each made anew when the last one died or got stuck."""
        failures = 0
        while not stopping.is_set():
            began = self._around.monotonic()
            member = KafkaMember(subscription, self._connection, publish=self.publish_raw, surroundings=self._around)
            try:
                await self._positions.spans(subscription.topics)
                await member.run(stopping)
            except (KafkaError, OSError, TimeoutError, TransientError) as error:
                failures = 1 if self._around.monotonic() - began > _WELL_SECONDS else failures + 1
                name = type(error).__name__
                self._around.watch.retrying(subscription.group, name)
                _log.warning("the consumer is made anew", group=subscription.group, error_class=name, failures=failures)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._around.retry.pause(failures, self._around.jitter())):
                        await stopping.wait()

    async def tail(self, topics: Sequence[str], after: Sequence[Position] | None = None) -> AsyncIterator[Sequence[Received]]:
        """See the port. Without `after` it starts at the end as it is when the first batch is asked for."""
        spans = await self._positions.spans(topics)
        seen = None if after is None else {TopicPartition(place.topic, place.partition): place.offset + 1 for place in after}
        starts = {part: _start(span, None if seen is None else seen.get(part, 0)) for part, span in spans.items()}
        async for batch in follow(self._connection, starts):
            yield batch

    async def read(self, topic: str, since: datetime | None = None) -> AsyncIterator[Received]:
        """See the port."""
        if since is None:
            spans = await self._positions.spans([topic])
            starts, ends = {part: span[0] for part, span in spans.items()}, {part: span[1] for part, span in spans.items()}
        else:
            starts, ends = (dict(places) for places in await self._positions.since(topic, since))
        async for record in read_between(self._connection, starts, ends):
            if since is None or record.timestamp >= since:
                yield record

    async def end(self, topics: Sequence[str]) -> tuple[Position, ...]:
        """See the port."""
        spans = await self._positions.spans(topics)
        return tuple(Position(part.topic, part.partition, after - 1) for part, (_, after) in spans.items() if after)

    async def progress(self, group: str, topics: Sequence[str]) -> tuple[PartitionProgress, ...]:
        """See the port."""
        return await self._positions.progress(group, topics)

    async def probe(self) -> None:
        """See the port: the cluster answers, and has let our producer in."""
        await self._positions.answers()
        await self._publisher.ready()

    async def require_topics(self) -> None:
        """Raise TransientError where a topic is missing that `migrate` makes."""
        await self._positions.require(plan.name for plan in all_plans())

    async def trim(self) -> int:
        """Nothing: Kafka drops old records by itself, as `migrate` told it to."""
        return 0

    async def close(self) -> None:
        """Let go of every connection."""
        await self._publisher.close()
        await self._positions.close()


def _raw(records: Sequence[Record]) -> list[RawRecord]:
    return [RawRecord(record.topic, record.key, record.value, tuple(record.headers.items())) for record in records]


def _start(span: Span, wanted: int | None) -> int:
    """Where a tail starts in a partition; one that `after` does not name had nothing when the position was taken."""
    first, after = span
    if wanted is None:
        return after
    if not first <= wanted <= after:
        raise PositionExpired("the log no longer holds what follows this position: read again from the store")
    return wanted
