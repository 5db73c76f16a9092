"""Owns one source at a time: lease -> checkpoint -> fetch -> read -> publish -> checkpoint, for ever.

Fetching, reading and publishing overlap over queues of one batch, so memory is flat and a slow bus slows the source down.
Not here: how a source is spoken to (`Poller`) and how a payload is read (`PayloadReader`).
"""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from threadline_events.ids import polled_intake_id
from threadline_runtime.errors import TransientError
from threadline_runtime.failpoints import failpoint
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.port import Lease

from threadline_connectors.accounts import AccountBoard, Condition
from threadline_connectors.checkpoints import CheckpointStore, Deposed
from threadline_connectors.errors import RetryableError
from threadline_connectors.pollers import Batch, Fetched, PayloadReader, Poller, Reading, Source
from threadline_connectors.publishing import IntakePublisher, Taken, describe_raw, take
from threadline_connectors.reconnecting import Backoff, Verdict, judge
from threadline_connectors.source_metrics import SourceMetrics
from threadline_connectors.stamping import Stamp

__all__ = ["Feed", "PollerHost", "PollerServices"]

PayloadT = TypeVar("PayloadT")
_LOOK_SECONDS = 5.0
_AFTER_DEPOSED = 1.0
_SLOW_SECONDS = 5.0
_NOT_CONFIRMED = f"the bus or the blobs have not confirmed within {_SLOW_SECONDS:.0f} s: are they up?"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Feed(Generic[PayloadT]):
    """One source with its poller and reader; `stamp` is what all its intakes share."""

    source: Source
    poller: Poller[PayloadT]
    reader: PayloadReader[PayloadT]
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class PollerServices:
    """What every host of a process shares. `random` answers from 0 to 1; `sleep` takes seconds."""

    publisher: IntakePublisher
    checkpoints: CheckpointStore
    leases: Leases
    board: AccountBoard
    metrics: SourceMetrics
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Read(Generic[PayloadT]):
    batch: Batch[PayloadT]
    taken: tuple[Taken, ...]
    spooled: tuple[Path, ...]


class PollerHost(Generic[PayloadT]):
    """Runs one feed until cancelled; never ends by an error of the source or of a payload."""

    def __init__(self, feed: Feed[PayloadT], services: PollerServices) -> None:
        self._feed = feed
        self._with = services
        self._backoff = Backoff(services.random)
        self._spooled: set[Path] = set()
        self._caught_up_at = services.now()
        self._failing = False

    async def run(self) -> None:
        """Own the source whenever no other process does. A cancel leaves nothing half stored: what was not stored comes again."""
        try:
            while True:
                self._put(Condition.WAITING, None)
                lease = await self._with.leases.hold(self._feed.source.lease_name)
                await failpoint("connectors.poller.after_lease")
                try:
                    await self._own(lease)
                except Deposed as error:
                    _log.warning("source_given_up", **self._names(), reason=str(error))
                    await self._with.sleep(_AFTER_DEPOSED)
                finally:
                    await self._release(lease)
        finally:
            self._put(Condition.STOPPED, None)

    async def _own(self, lease: Lease) -> None:
        while True:
            self._put(Condition.CONNECTING, None)
            try:
                await self._round(lease)
            except Exception as error:
                if isinstance(error, Deposed):
                    raise
                await self._pause(judge(error), error)
            finally:
                await self._feed.poller.close()

    async def _pause(self, verdict: Verdict, error: Exception) -> None:
        if self._put(verdict.condition, verdict.reason):
            self._failing = True
            trace = error if verdict.condition is Condition.FAULTY else None
            _log.warning("source_failed", **self._names(), condition=verdict.condition.value, reason=verdict.reason, exc_info=trace)
        # Nobody can see what waits at the source now; what arrived right after the last look has waited the longest.
        self._with.metrics.lag(self._feed.source, (self._with.now() - self._caught_up_at).total_seconds())
        await self._with.sleep(self._backoff.seconds(verdict))

    async def _round(self, lease: Lease) -> None:
        position = await self._position(lease)
        fetched: asyncio.Queue[Batch[PayloadT]] = asyncio.Queue(1)
        read: asyncio.Queue[_Read[PayloadT]] = asyncio.Queue(1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(lease))
                group.create_task(self._fetch(position, fetched))
                group.create_task(self._read(fetched, read))
                group.create_task(self._publish(lease, read))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            await self._remove(set(self._spooled))  # of batches that were on their way; they come again

    async def _watch(self, lease: Lease) -> None:
        """Ends the round when the lease has gone to another: a courtesy, since its token already guards every write."""
        while True:
            await self._with.sleep(_LOOK_SECONDS)
            with contextlib.suppress(TransientError):
                if not await self._with.leases.is_held(lease):
                    raise Deposed("the lease went to another process")

    async def _release(self, lease: Lease) -> None:
        with contextlib.suppress(TransientError):  # who comes next waits for our silence instead
            await self._with.leases.release(lease)

    async def _position(self, lease: Lease) -> str:
        source, checkpoints = self._feed.source, self._with.checkpoints
        position = await checkpoints.claim(source, lease.token)
        await failpoint("connectors.poller.after_claim")
        if position is None:
            position = await self._feed.poller.start()
            await failpoint("connectors.poller.after_start")
            await checkpoints.store(source, lease.token, position)
            await failpoint("connectors.poller.after_start_stored")
        return position

    async def _fetch(self, position: str, out: "asyncio.Queue[Batch[PayloadT]]") -> None:
        async for batch in self._feed.poller.follow(position):
            self._spooled.update(one.raw for one in batch.payloads if isinstance(one.raw, Path))
            await failpoint("connectors.poller.after_fetch")
            if batch.oldest is not None:
                self._with.metrics.lag(self._feed.source, (self._with.now() - batch.oldest).total_seconds())
            if batch.payloads and not self._is_held_back():  # a few more are fetched before the queues are full
                self._put(Condition.CATCHING_UP, None)
            await out.put(batch)
        raise RetryableError("the source ended its stream")

    async def _read(self, batches: "asyncio.Queue[Batch[PayloadT]]", out: "asyncio.Queue[_Read[PayloadT]]") -> None:
        while True:
            batch = await batches.get()
            readings = await self._feed.reader.read(batch.payloads) if batch.payloads else ()
            spooled = tuple(path for reading in readings for path in reading.spooled)
            self._spooled.update(spooled)
            await failpoint("connectors.poller.after_read")
            received_at = self._with.now()
            taken = [await self._take(one, reading, received_at) for one, reading in zip(batch.payloads, readings, strict=True)]
            await out.put(_Read(batch, tuple(taken), spooled))

    async def _take(self, fetched: Fetched[PayloadT], reading: Reading, received_at: datetime) -> Taken:
        arguments = (fetched.raw, fetched.size, fetched.media_type)
        raw = describe_raw(*arguments) if isinstance(fetched.raw, bytes) else await asyncio.to_thread(describe_raw, *arguments)
        intake_id = polled_intake_id(self._feed.source.account_id, *fetched.place)
        taken = take(reading, fetched.raw, replace(self._feed.stamp, intake_id=intake_id, received_at=received_at, raw=raw))
        if taken.rejection is not None:
            _log.warning("payload_rejected", **self._names(), intake_id=intake_id, reason=taken.rejection.code)
        return taken

    async def _publish(self, lease: Lease, ready: "asyncio.Queue[_Read[PayloadT]]") -> None:
        source = self._feed.source
        while True:
            one = await ready.get()
            if one.taken:
                await self._until_durable(one.taken)
            await failpoint("connectors.poller.before_checkpoint")
            await self._with.checkpoints.store(source, lease.token, one.batch.position)
            await failpoint("connectors.poller.after_checkpoint")
            await self._feed.poller.published(one.batch)
            await failpoint("connectors.poller.after_published")
            await self._remove({*one.spooled, *(taken.raw for taken in one.taken if isinstance(taken.raw, Path))})
            self._progressed(one)

    async def _until_durable(self, taken: tuple[Taken, ...]) -> None:
        # The bus is ours: the batch is kept and tried again under the same ids, and the full queues hold the source back.
        waiting = Backoff(self._with.random)
        while True:
            slow = asyncio.create_task(self._tell_if_slow())
            try:
                return await self._with.publisher.publish(taken)
            except TransientError as error:
                failure = error
            finally:
                slow.cancel()
            if self._put(Condition.HELD_BACK, str(failure)):
                _log.warning("publish_failed", **self._names(), reason=str(failure))
            await self._with.sleep(waiting.seconds(judge(failure)))

    async def _tell_if_slow(self) -> None:
        """A bus that neither takes nor refuses holds the source back, too; what waits at the source shows in its lag."""
        await self._with.sleep(_SLOW_SECONDS)
        if not self._is_held_back():
            self._put(Condition.HELD_BACK, _NOT_CONFIRMED)
            _log.warning("publish_slow", **self._names(), reason=_NOT_CONFIRMED)

    def _is_held_back(self) -> bool:
        state = self._with.board.state(self._feed.source)
        return state is not None and state.condition is Condition.HELD_BACK

    async def _remove(self, paths: set[Path]) -> None:
        if paths:
            self._spooled -= paths
            await asyncio.to_thread(_remove_all, paths)

    def _progressed(self, one: _Read[PayloadT]) -> None:
        source, metrics, channel = self._feed.source, self._with.metrics, self._feed.stamp.channel
        self._backoff.reset()
        metrics.taken(channel, source.account_id, len(one.taken))
        for taken in one.taken:
            if taken.rejection is not None:
                metrics.rejected(channel, source.account_id, taken.rejection.code)
        metrics.succeeded(source, self._with.now())
        if one.batch.caught_up:
            self._caught_up_at = self._with.now()
            metrics.lag(source, 0.0)
        self._put(Condition.LISTENING if one.batch.caught_up else Condition.CATCHING_UP, None)
        if self._failing:
            self._failing = False
            _log.info("source_works_again", **self._names())

    def _put(self, condition: Condition, reason: str | None) -> bool:
        return self._with.board.put(self._feed.source, condition, self._with.now(), reason)

    def _names(self) -> dict[str, str]:
        return {"account_id": self._feed.source.account_id, "stream": self._feed.source.stream}


def _remove_all(paths: set[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of a group that decides: being deposed before all else, else whichever came first."""
    flat = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in errors.exceptions]
    return next((error for error in flat if isinstance(error, Deposed)), flat[0])
