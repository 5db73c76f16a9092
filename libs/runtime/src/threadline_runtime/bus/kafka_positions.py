"""Where topics begin and end, and how far groups have come: questions to Kafka that move nothing."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from threadline_runtime.bus.kafka_connection import KafkaConnection
from threadline_runtime.bus.kafka_errors import reaction
from threadline_runtime.bus.kafka_reading import first_records
from threadline_runtime.bus.kafka_topics import TopicPlan, migrate_topics
from threadline_runtime.bus.port import PartitionProgress
from threadline_runtime.errors import TransientError

__all__ = ["KafkaPositions", "Span"]

Span = tuple[int, int]


class KafkaPositions:
    """Asks one cluster; its two clients are made when they are first needed, and anew after an error."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._asking = asyncio.Lock()
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None

    async def migrate(self, plans: Sequence[TopicPlan]) -> tuple[str, ...]:
        """See `migrate_topics`; raises TransientError too."""
        async with self._asked(self._connection.pace.join_seconds) as (admin, _):
            return await migrate_topics(admin, plans)

    async def answers(self) -> None:
        """Whether the cluster answers."""
        async with self._asked() as (admin, _):
            await admin.describe_cluster()

    async def require(self, topics: Iterable[str]) -> None:
        """Raise TransientError where one of the topics is missing."""
        async with self._asked() as (admin, _):
            await _partitions(admin, list(topics))

    async def spans(self, topics: Sequence[str]) -> Mapping[TopicPartition, Span]:
        """First and next offset of each partition."""
        async with self._asked() as (admin, consumer):
            return await _spans(consumer, await _partitions(admin, topics))

    async def since(self, topic: str, when: datetime) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
        """For each partition with a record written at `when` or later: the first such, and the end."""
        async with self._asked() as (admin, consumer):
            parts = await _partitions(admin, [topic])
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets(parts)
            found = await consumer.offsets_for_times(dict.fromkeys(parts, int(when.timestamp() * 1000)))
        starts = {part: place.offset for part, place in found.items() if place is not None}
        return starts, {part: ends[part] for part in starts}

    async def progress(self, group: str, topics: Sequence[str]) -> tuple[PartitionProgress, ...]:
        """See the port."""
        async with self._asked() as (admin, consumer):
            parts = await _partitions(admin, topics)
            spans = await _spans(consumer, parts)
            stored = await admin.list_consumer_group_offsets(group, partitions=parts)
        committed = {part: max(stored[part].offset if part in stored else 0, spans[part][0]) for part in parts}
        waiting = {part: offset for part, offset in committed.items() if offset < spans[part][1]}
        firsts = await first_records(self._connection, waiting)
        return tuple(
            PartitionProgress(
                part.topic, part.partition, committed[part], spans[part][1], firsts[part].timestamp if part in firsts else None
            )
            for part in parts
        )

    async def close(self) -> None:
        """Let go of the clients."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await self._shut(*clients)

    @contextlib.asynccontextmanager
    async def _asked(self, seconds: float | None = None):  # type: ignore[no-untyped-def] # the client library has no types
        """The clients, one question at a time; an error or silence of Kafka becomes TransientError."""
        try:
            async with self._asking, asyncio.timeout(seconds or self._connection.pace.request_seconds):
                if self._clients is None:
                    self._clients = await self._opened()
                yield self._clients
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise reaction(error, "read") from error

    async def _opened(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        admin, consumer = self._connection.admin(), self._connection.consumer()
        try:
            await admin.start()
            await consumer.start()
        except BaseException as error:
            await self._shut(admin, consumer)
            # The client only logs why it was not let in.
            if isinstance(error, KafkaConnectionError) and (refused := await self._connection.refusal()) is not None:
                raise TransientError(refused) from error
            raise
        return admin, consumer

    async def _shut(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        for close in (admin.close, consumer.stop):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(self._connection.pace.close_seconds):
                    await close()


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    """All partitions of the topics, in order. All topics are asked for, since asking for one by name may make it."""
    there = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    missing = [topic for topic in topics if topic not in there]
    if missing:
        raise TransientError(f"the topic {missing[0]} is missing in Kafka: make the topics with `python -m <service> migrate`")
    return [TopicPartition(topic, number) for topic in topics for number in range(there[topic])]


async def _spans(consumer: AIOKafkaConsumer, parts: Sequence[TopicPartition]) -> Mapping[TopicPartition, Span]:
    first, after = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    return {part: (first[part], after[part]) for part in parts}
