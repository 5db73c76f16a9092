"""How a batch is handled and how failing records are treated: the same for every adapter of the bus (design section 6).

Not here: where records come from, what a commit is, and how partitions are shared.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import structlog

from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.dead_letter_record import dead_letter_record, describe
from threadline_runtime.bus.large_letters import is_too_large, put_aside
from threadline_runtime.bus.port import DeadLetter, Message, RawRecord, Received, SetAside, Subscription
from threadline_runtime.errors import ConfigurationError, PermanentError, RecordTooLarge, TransientError
from threadline_runtime.failpoints import failpoint

__all__ = ["ConsumerWatch", "Processor", "RetryPolicy", "Stopped", "Surroundings", "Unwatched"]

T = TypeVar("T")
_PROBE_SECONDS = 10.0
_log = structlog.stdlib.get_logger("threadline.bus")


class Stopped(Exception):  # noqa: N818 - not an error: the consumer was asked to end while it waited
    """The consumer was asked to stop while it waited to try again; nothing of the rest was committed."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Pauses in seconds: transient failures from `first` doubling to `most`, and those between five tries of one record alone."""

    first: float = 0.2
    most: float = 30.0
    alone: tuple[float, ...] = (1.0, 3.0, 8.0, 16.0)

    def pause(self, failures: int, jitter: float) -> float:
        """The pause after so many failures in a row; `jitter` is from 0 to 1."""
        return float(min(self.most, self.first * 2.0 ** min(failures - 1, 20))) * (0.5 + jitter / 2)


class ConsumerWatch(Protocol):
    """Who is told what a consumer does, for metrics and readiness."""

    def batch_done(self, group: str, records: int, seconds: float) -> None:
        """A batch was handled and committed."""
        ...

    def dead_lettered(self, group: str, record: Received, letter: DeadLetter) -> None:
        """A record was set aside."""
        ...

    def retrying(self, group: str, error_class: str) -> None:
        """Intake of the group waits, because something it needs does not work."""
        ...

    def polled(self, group: str) -> None:
        """The consumer has looked for records; it is alive."""
        ...


class Unwatched:
    """Nobody is told."""

    def batch_done(self, group: str, records: int, seconds: float) -> None:
        """Nothing."""

    def dead_lettered(self, group: str, record: Received, letter: DeadLetter) -> None:
        """Nothing."""

    def retrying(self, group: str, error_class: str) -> None:
        """Nothing."""

    def polled(self, group: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a processor takes from outside: pauses, clocks, chance, its version, who watches, and where large dead letters lie.

    Without `blobs` a dead letter that its topic does not take is tried for ever.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    version: str
    retry: RetryPolicy
    watch: ConsumerWatch
    blobs: BlobStore | None


@dataclass(frozen=True, slots=True)
class _Item(Generic[T]):
    """A record, and what it says unless it was set aside when it was decoded."""

    record: Received
    message: Message[T] | None


@dataclass(slots=True)
class _Trouble:
    """The failures of one record that is tried alone."""

    error: Exception
    first_at: datetime
    last_at: datetime
    attempts: int = 1
    this_round: int = 1
    waits: int = 0


class Processor(Generic[T]):
    """Handles batches of one consumer; `commit` is given the parts of a batch in order, each once all its effects are durable."""

    def __init__(
        self,
        subscription: Subscription[T],
        *,
        publish: Callable[[Sequence[RawRecord]], Awaitable[None]],
        commit: Callable[[Sequence[Received]], Awaitable[None]],
        surroundings: Surroundings,
        stopping: asyncio.Event,
    ) -> None:
        self._subscription = subscription
        self._publish = publish
        self._commit = commit
        self._around = surroundings
        self._stopping = stopping

    async def process(self, records: Sequence[Received]) -> None:
        """Handle and commit all of a batch, or set aside what can never succeed.

        Raises Stopped when asked to stop while waiting, ConfigurationError when the operator must act; the rest is then not committed.
        """
        started = self._around.monotonic()
        await self._run(await self._decoded(records))
        self._around.watch.batch_done(self._subscription.group, len(records), self._around.monotonic() - started)

    async def _decoded(self, records: Sequence[Received]) -> Sequence[_Item[T]]:
        """What each record says; those that cannot be read are set aside together, so that a flood of them costs little."""
        items: list[_Item[T]] = []
        unreadable: list[tuple[Received, _Trouble]] = []
        for record in records:
            try:
                items.append(_Item(record, Message(record, self._subscription.decode(record))))
            except Exception as error:
                now = self._around.now()
                unreadable.append((record, _Trouble(error, now, now)))
                items.append(_Item(record, None))
        if unreadable:
            await self._set_aside(unreadable)
        return items

    async def _run(self, items: Sequence[_Item[T]]) -> None:
        """Handle a part of a batch: again and again while a dependency is down, in halves when a record may be to blame."""
        messages = [item.message for item in items if item.message is not None]
        failures = 0
        while messages and (error := await self._try(messages)) is not None:
            if isinstance(error, TransientError):
                failures += 1
                await self._back_off(failures, error)
            elif len(messages) > 1:
                half = len(items) // 2
                await self._run(items[:half])
                await self._run(items[half:])
                return
            else:
                await self._settle_alone(messages[0], error)
                break
        await self._insist(lambda: self._commit([item.record for item in items]))
        await failpoint("bus.after_commit")

    async def _try(self, messages: Sequence[Message[T]]) -> Exception | None:
        await failpoint("bus.before_handle")
        try:
            await self._subscription.handle(messages)
            await failpoint("bus.after_handle")
        except ConfigurationError:
            raise
        except Exception as error:
            return error
        return None

    async def _settle_alone(self, message: Message[T], error: Exception) -> None:
        """One record that fails: five tries, then ask whether its dependencies or the record itself are to blame."""
        now = self._around.now()
        trouble = _Trouble(error, now, now)
        while not isinstance(trouble.error, PermanentError):
            if trouble.this_round > len(self._around.retry.alone):
                if await self._dependencies_answer():
                    break
                await self._until_dependencies_answer(trouble)
            await self._wait(self._around.retry.alone[trouble.this_round - 1] * (0.75 + self._around.jitter() / 2))
            failure = await self._try([message])
            if failure is None:
                return
            await self._note(trouble, failure)
        await self._set_aside([(message.record, trouble)])

    async def _note(self, trouble: _Trouble, failure: Exception) -> None:
        """Count a failure; a transient one says nothing against the record."""
        if isinstance(failure, TransientError):
            trouble.waits += 1
            await self._back_off(trouble.waits, failure)
            return
        trouble.error = failure
        trouble.last_at = self._around.now()
        trouble.attempts += 1
        trouble.this_round += 1

    async def _dependencies_answer(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                for probe in self._subscription.probes:
                    await probe()
        except Exception:
            return False
        return True

    async def _until_dependencies_answer(self, trouble: _Trouble) -> None:
        failures = 0
        while not await self._dependencies_answer():
            failures += 1
            await self._back_off(failures, trouble.error)
        trouble.this_round = 1

    async def _set_aside(self, troubles: Sequence[tuple[Received, _Trouble]]) -> None:
        """Publish the dead letters, then tell the consumer; each until it succeeds, for a lost letter is a lost message."""
        aside = [SetAside(record, _why(trouble)) for record, trouble in troubles]
        dead = [self._dead(each, trouble) for each, (_, trouble) in zip(aside, troubles, strict=True)]
        await failpoint("bus.before_dead_letter")
        await self._insist(lambda: self._publish_letters(dead))
        await failpoint("bus.after_dead_letter")
        hook = self._subscription.on_dead_letters
        if hook is not None:
            await self._insist(lambda: hook(aside))
        self._tell(aside, [trouble.error for _, trouble in troubles])

    async def _publish_letters(self, dead: Sequence[RawRecord]) -> None:
        letters = [await self._by_blob(letter) if is_too_large(letter) else letter for letter in dead]
        try:
            await self._publish(letters)
        except RecordTooLarge:  # a topic with a limit of its own: which of them it refused is found out one by one
            for letter in letters:
                await self._publish_alone(letter)

    async def _publish_alone(self, letter: RawRecord) -> None:
        try:
            await self._publish([letter])
        except RecordTooLarge:
            await self._publish([await self._by_blob(letter)])

    async def _by_blob(self, letter: RawRecord) -> RawRecord:
        blobs = self._around.blobs
        return letter if blobs is None else await put_aside(letter, blobs)

    def _dead(self, each: SetAside, trouble: _Trouble) -> RawRecord:
        return dead_letter_record(
            each.record,
            each.letter,
            group=self._subscription.group,
            service=self._subscription.service,
            version=self._around.version,
            first_at=trouble.first_at,
            last_at=trouble.last_at,
        )

    def _tell(self, aside: Sequence[SetAside], errors: Sequence[BaseException]) -> None:
        """Count each; one line in the log for all that failed alike, so that a flood of them does not hide the rest."""
        alike: dict[tuple[str, str], list[SetAside]] = defaultdict(list)
        for each, error in zip(aside, errors, strict=True):
            self._around.watch.dead_lettered(self._subscription.group, each.record, each.letter)
            alike[each.letter.error_class, _where(error)].append(each)
        for (error_class, where), some in alike.items():
            place = some[0].record.position
            _log.warning(
                "records set aside",
                group=self._subscription.group,
                count=len(some),
                error_class=error_class,
                where=where,
                attempts=some[0].letter.attempts,
                first={"topic": place.topic, "partition": place.partition, "offset": place.offset},
            )

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step that must not be left out, whatever it raises."""
        failures = 0
        while True:
            try:
                await step()
            except ConfigurationError:
                raise
            except Exception as error:
                failures += 1
                await self._back_off(failures, error)
            else:
                return

    async def _back_off(self, failures: int, error: Exception) -> None:
        name = type(error).__name__
        self._around.watch.retrying(self._subscription.group, name)
        _log.warning("intake waits", group=self._subscription.group, error_class=name, where=_where(error), failures=failures)
        await self._wait(self._around.retry.pause(failures, self._around.jitter()))

    async def _wait(self, seconds: float) -> None:
        """Pause, or raise Stopped as soon as the consumer is asked to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        if self._stopping.is_set():
            raise Stopped


def _why(trouble: _Trouble) -> DeadLetter:
    return DeadLetter(type(trouble.error).__name__, describe(trouble.error), trouble.attempts)


def _where(error: BaseException) -> str:
    """The place of an error in our code, without its text, which may hold a customer's words."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next
    return place
