"""One member of a consumer group: FastStream polls, the `Processor` handles, and between them stands what keeps a rebalance safe.

A batch is ended, or broken off and left uncommitted, before its partitions go to somebody else. A member that is dead or stuck raises,
and the bus makes a new one. Not here: failing records (`processing`), and when a new member is made (`kafka`).
"""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream.kafka import KafkaMessage

from threadline_runtime.bus.kafka_connection import KafkaConnection
from threadline_runtime.bus.kafka_records import received
from threadline_runtime.bus.port import RawRecord, Received, Subscription
from threadline_runtime.bus.processing import Processor, Stopped, Surroundings
from threadline_runtime.errors import TransientError
from threadline_runtime.failpoints import failpoint

__all__ = ["KafkaMember"]

T = TypeVar("T")
_Records = tuple[ConsumerRecord, ...]
_BREAK_OFF_SECONDS = 5.0
_log = structlog.stdlib.get_logger("threadline.bus")


class KafkaMember(Generic[T]):
    """A member from joining to leaving; `run` is called once."""

    def __init__(
        self,
        subscription: Subscription[T],
        connection: KafkaConnection,
        *,
        publish: Callable[[Sequence[RawRecord]], Awaitable[None]],
        surroundings: Surroundings,
    ) -> None:
        self._subscription = subscription
        self._connection = connection
        self._pace = connection.pace
        self._publish = publish
        self._around = surroundings
        self._batch: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self._halt = asyncio.Event()
        self._halt.set()  # nothing is ours before the first assignment
        self._halted_at = surroundings.monotonic()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_work = surroundings.monotonic()
        self._behind_at: Mapping[TopicPartition, int] = {}
        self._broker, self._subscriber = connection.member(
            subscription.topics,
            subscription.group,
            max_records=subscription.max_records,
            gather_seconds=subscription.gather_seconds,
            listener=_Listener(self),
            parser=self._parse,
            logger=_Told(self._fail),
        )
        self._subscriber(self._take)

    async def run(self, stopping: asyncio.Event) -> None:
        """Join, work until asked to stop, end the batch in hand, leave.

        Raises ConfigurationError of the handler, and TransientError, KafkaError, OSError or TimeoutError where a new member is needed.
        """
        asked = asyncio.create_task(stopping.wait())
        try:
            if await self._joined(asked):
                await self._work(asked)
            await self._end_batch()
        finally:
            asked.cancel()
            await self._leave()

    async def _joined(self, asked: "asyncio.Task[bool]") -> bool:
        """Whether we are in the group; not when we were asked to stop meanwhile."""
        joining = asyncio.create_task(self._broker.start())
        either: tuple[asyncio.Future[Any], ...] = (joining, asked)
        try:
            await asyncio.wait(either, timeout=self._pace.join_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not joining.done():
                joining.cancel()
                await asyncio.wait([joining], timeout=self._pace.close_seconds)
        if joining.done() and not joining.cancelled():
            joining.result()
            return True
        if asked.done():
            return False
        raise TransientError(f"Kafka did not let us into the group within {self._pace.join_seconds:.0f} s")

    async def _work(self, asked: "asyncio.Task[bool]") -> None:
        either: tuple[asyncio.Future[Any], ...] = (asked, self._broken)
        while not asked.done():
            await asyncio.wait(either, timeout=self._pace.watch_seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                self._broken.result()
            await self._look_after()

    # What FastStream calls.

    async def _parse(self, records: _Records) -> KafkaMessage:
        """Take the records as they are: headers of any bytes, since the default parser drops a batch with one it cannot read."""
        return KafkaMessage(body=b"", raw_message=records, headers={}, consumer=self._consumer())

    async def _take(self, records: _Records) -> None:
        """A batch from the poll loop; returns when it is done, so that the next is taken only then. Never raises."""
        if self._halt.is_set():
            return  # it is not ours any more and nothing of it is committed, so it comes again
        processor = Processor(
            self._subscription,
            publish=self._publish,
            commit=partial(self._commit, self._halt),
            surroundings=self._around,
            stopping=self._halt,
        )
        consumer = self._consumer()
        # Not in the context of FastStream's call, which names the batch: a timer, even one that was cancelled, would keep all of it.
        work = processor.process([received(record) for record in records])
        self._batch = batch = asyncio.create_task(work, context=self._context.copy())
        if len(records) < self._subscription.max_records // 2:
            # Else the first record that comes meanwhile is fetched, and those after it only once that one was handed out: they would
            # wait for the batch after the next. Where records lie about in plenty they are better fetched meanwhile.
            consumer.pause(*consumer.assignment())
        await asyncio.wait([batch])
        consumer.resume(*consumer.paused())
        self._batch = None
        self._last_work = self._around.monotonic()
        if batch.cancelled():
            return
        error = batch.exception()
        if error is not None and not isinstance(error, Stopped):
            self._fail(error)

    async def revoked(self) -> None:
        """The group is about to share its partitions anew: end the batch in hand while Kafka still waits for us."""
        self._stop_taking()
        if self._batch is not None and not await self._ended(self._pace.drain_seconds):
            _log.warning("a batch is broken off for a rebalance", group=self._subscription.group, seconds=self._pace.drain_seconds)
            await self._break_off()

    def assigned(self) -> None:
        """Partitions are ours from their committed positions on."""
        self._halt = asyncio.Event()
        self._last_work = self._around.monotonic()
        self._behind_at = {}

    # Batches.

    async def _commit(self, halt: asyncio.Event, records: Sequence[Received]) -> None:
        offsets = {TopicPartition(r.position.topic, r.position.partition): r.position.offset + 1 for r in records}
        await failpoint("bus.before_commit")
        try:
            async with asyncio.timeout(self._pace.request_seconds):
                await self._consumer().commit(offsets)
        except (CommitFailedError, IllegalStateError):
            halt.set()  # the partitions are another's; whoever has them begins where we last committed
            self._halted_at = self._around.monotonic()
            raise
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka does not take the commit: {type(error).__name__}") from error

    def _stop_taking(self) -> None:
        if not self._halt.is_set():
            self._halted_at = self._around.monotonic()
        self._halt.set()

    async def _end_batch(self) -> None:
        """Let the batch in hand end, however long it takes; a second cancel of the consumer breaks it off."""
        self._stop_taking()
        if self._batch is not None:
            await asyncio.wait([self._batch])

    async def _ended(self, seconds: float) -> bool:
        if self._batch is None:
            return True
        done, _ = await asyncio.wait([self._batch], timeout=seconds)
        return bool(done)

    async def _break_off(self) -> None:
        if self._batch is not None:
            self._batch.cancel()
            await self._ended(_BREAK_OFF_SECONDS)

    async def _leave(self) -> None:
        self._stop_taking()
        await self._break_off()
        # While Kafka is down leaving would wait for it; the session then runs out by itself.
        with contextlib.suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(self._pace.close_seconds):
                await self._broker.stop()

    # Whether the member is well.

    def _fail(self, error: BaseException) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)
            self._broken.exception()  # it may never be asked for: we are leaving anyway

    async def _look_after(self) -> None:
        """Raise where this member will do nothing any more; else show that it is alive, unless a handler is at work."""
        if all(task.done() for task in self._subscriber.tasks):
            raise TransientError("the consumer's poll loop has ended")
        now = self._around.monotonic()
        if self._halt.is_set() and self._batch is None:
            waited = now - self._halted_at
            if waited > (self._pace.rebalance_ms + self._pace.session_ms) / 1000:
                raise TransientError(f"the group gave us no partitions for {waited:.0f} s")
        elif self._batch is None and now - self._last_work > self._pace.stuck_seconds:
            self._last_work = now
            await self._refuse_to_be_stuck()
        if self._batch is None:
            self._around.watch.polled(self._subscription.group)

    async def _refuse_to_be_stuck(self) -> None:
        """Raise where records lie before us and none came since the last look."""
        consumer = self._consumer()
        behind: dict[TopicPartition, int] = {}
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(self._pace.request_seconds):
                ends = await consumer.end_offsets(list(consumer.assignment()))
                for part, end in ends.items():
                    position = await consumer.position(part)
                    if position < end:
                        behind[part] = position
        if any(self._behind_at.get(part) == position for part, position in behind.items()):
            raise TransientError("records lie on the bus and the consumer does not get them")
        self._behind_at = behind

    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise TransientError("the consumer has left the group")
        return consumer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the client library has no types
    """Hands a rebalance to its member."""

    def __init__(self, member: KafkaMember[Any]) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Called and waited for before a rebalance."""
        await self._member.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Called after a rebalance, before any record of it is handed out."""
        self._member.assigned()


class _Told:
    """The logger that FastStream is given: what it only writes down, an error of its poll loop, makes the member fail."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail

    def log(self, level: int, msg: object, /, *, exc_info: object = None, extra: Mapping[str, Any] | None = None) -> None:
        """See FastStream's LoggerProto; its texts are not repeated, they may hold a record's."""
        if isinstance(exc_info, BaseException):
            _log.log(max(level, logging.WARNING), "the consumer failed", error_class=type(exc_info).__name__)
            # Whatever stops the polling is no record's fault that `processing` could settle: a new member tries again, nothing is skipped.
            self._fail(TransientError(f"the consumer failed: {type(exc_info).__name__}"))
