"""Reading Kafka without a group: tails that follow, and reads that end. Not here: groups (`kafka_member`) and where to start."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from threadline_runtime.bus.kafka_connection import KafkaConnection
from threadline_runtime.bus.kafka_errors import reaction
from threadline_runtime.bus.kafka_records import received
from threadline_runtime.bus.port import Received
from threadline_runtime.errors import PositionExpired

__all__ = ["first_records", "follow", "read_between"]

_PAGE = 500
_WAIT_MS = 1000


@contextlib.asynccontextmanager
async def _reader(connection: KafkaConnection, starts: Mapping[TopicPartition, int]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that stands at `starts`; Kafka's errors become TransientError, a position that is gone PositionExpired."""
    consumer = connection.consumer()
    try:
        async with asyncio.timeout(connection.pace.request_seconds):
            await consumer.start()
        consumer.assign(list(starts))
        for part, offset in starts.items():
            consumer.seek(part, offset)
        yield consumer
    except OffsetOutOfRangeError as error:
        raise PositionExpired("this reader is so far behind that records were trimmed before it: read again from the store") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise reaction(error, "read") from error
    finally:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(connection.pace.close_seconds):
                await consumer.stop()


async def follow(connection: KafkaConnection, starts: Mapping[TopicPartition, int]) -> AsyncIterator[Sequence[Received]]:
    """Every record from `starts` on, for ever."""
    async with _reader(connection, starts) as consumer:
        while True:
            found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_PAGE)
            batch = [received(record) for records in found.values() for record in records]
            if batch:
                yield batch


async def read_between(
    connection: KafkaConnection, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator[Received]:
    """The records from `starts` to before `ends`; an end is reached also where the last places hold no record."""
    open_parts = {part: offset for part, offset in starts.items() if offset < ends[part]}
    if not open_parts:
        return
    async with _reader(connection, open_parts) as consumer:
        while open_parts:
            found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_PAGE)
            for part, records in found.items():
                for record in records:
                    if record.offset < ends[part]:
                        yield received(record)
            for part in list(open_parts):
                async with asyncio.timeout(connection.pace.request_seconds):
                    reached = await consumer.position(part) >= ends[part]
                if reached:
                    del open_parts[part]
                    consumer.pause(part)


async def first_records(connection: KafkaConnection, starts: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Received]:
    """The first record at or behind each of `starts`, where there is one; each is known to have one."""
    firsts: dict[TopicPartition, Received] = {}
    if not starts:
        return firsts
    async with _reader(connection, starts) as consumer, asyncio.timeout(connection.pace.request_seconds):
        while len(firsts) < len(starts):
            missing = [part for part in starts if part not in firsts]
            found = await consumer.getmany(*missing, timeout_ms=_WAIT_MS, max_records=1)
            firsts.update({part: received(records[0]) for part, records in found.items()})
    return firsts
