"""Publishing to Kafka: durable when it returns, bounded sends in flight, and a new producer when the old one has died.

FastStream's own publish adds headers and takes text only, so records go through aiokafka's producer, byte for byte (ADR 0003).
"""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from threadline_runtime.bus.kafka_connection import KafkaConnection
from threadline_runtime.bus.kafka_errors import TOO_LARGE, reaction
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.errors import TransientError

__all__ = ["KafkaPublisher"]

_LIVES_ON = (KafkaTimeoutError, UnknownTopicOrPartitionError, TopicAuthorizationFailedError)
_log = structlog.stdlib.get_logger("threadline.bus")


class KafkaPublisher:
    """One idempotent producer at a time; it is made when it is first needed."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: AIOKafkaProducer | None = None
        self._making = asyncio.Lock()
        self._slots = asyncio.Semaphore(connection.pace.sends_in_flight)
        self._farewells: set[asyncio.Task[None]] = set()

    async def publish(self, records: Sequence[RawRecord]) -> None:
        """Send all, in order for each key, and return when all are durable.

        Raises TransientError when that is not known (some may lie there all the same), RecordTooLarge for a record too large for its topic.
        """
        seconds = self._connection.pace.publish_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._publish(records)
        except TimeoutError as error:
            raise TransientError(f"Kafka has not confirmed the records within {seconds:.0f} s: are its brokers up?") from error
        except (KafkaError, OSError) as error:
            raise reaction(error, "used") from error

    async def ready(self) -> None:
        """Have a producer that Kafka has let in; raises TransientError."""
        try:
            async with asyncio.timeout(self._connection.pace.request_seconds):
                await self._ready()
        except (KafkaError, OSError, TimeoutError) as error:
            raise reaction(error, "used") from error

    async def close(self) -> None:
        """Let go of the producer; what it has not confirmed was not acknowledged to anybody."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._stop(producer)
        await asyncio.gather(*self._farewells)

    async def _publish(self, records: Sequence[RawRecord]) -> None:
        producer = await self._ready()
        futures: list[asyncio.Future[object]] = []
        try:
            for record in records:
                futures.append(await self._send(producer, record))  # noqa: PERF401 - what was sent is waited for even if the next fails
            if futures:
                # `wait`, as `gather` would cancel what is under way when we are cancelled, and free its place too early.
                await asyncio.wait(futures)
            for future in futures:
                future.result()
        except (KafkaError, AssertionError) as error:
            self._retire_if_dead(producer, error)
            raise

    async def _send(self, producer: AIOKafkaProducer, record: RawRecord) -> "asyncio.Future[object]":
        """Hand a record to the producer; its place is free again when it is confirmed or refused, not when we give up waiting."""
        await self._slots.acquire()
        try:
            future: asyncio.Future[object] = await producer.send(record.topic, value=record, key=record.key, headers=list(record.headers))
        except BaseException:
            self._slots.release()
            raise
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future: "asyncio.Future[object]") -> None:
        self._slots.release()
        if not future.cancelled():
            future.exception()  # who waited was told; who gave up waiting does not want a warning

    async def _ready(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                producer = self._connection.producer()
                try:
                    await producer.start()
                except BaseException:
                    self._bid_farewell(producer)
                    raise
                self._producer = producer
            return self._producer

    def _retire_if_dead(self, producer: AIOKafkaProducer, error: Exception) -> None:
        """After these errors a producer never works again, or its numbering has a gap that Kafka will refuse."""
        dead = isinstance(error, (OutOfOrderSequenceNumber, ProducerFenced, ProducerClosed, *TOO_LARGE)) or not getattr(
            error, "retriable", False
        )
        if dead and not isinstance(error, _LIVES_ON) and self._producer is producer:
            self._producer = None
            _log.warning("the producer is replaced", error_class=type(error).__name__)
            self._bid_farewell(producer)

    def _bid_farewell(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(self._stop(producer))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _stop(self, producer: AIOKafkaProducer) -> None:
        # While Kafka is down a stop would wait for it without end.
        with contextlib.suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(self._connection.pace.close_seconds):
                await producer.stop()
