"""The bus port: what every adapter (sqlite now, kafka next) promises, held to one behaviour suite.

Not here: how a failing record is treated (`processing`), which is the same on every adapter.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from threadline_events.records import Record

__all__ = ["Bus", "DeadLetter", "Message", "PartitionProgress", "Position", "RawRecord", "Received", "SetAside", "Subscription"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a record: topic, partition, offset."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Received:
    """A record as it lies on the bus, bytes untouched. `raw_headers` keeps order and repeats; `headers` has the last of each name."""

    position: Position
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    raw_headers: tuple[tuple[str, bytes | None], ...]
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record given byte for byte: a dead letter, a redriven one, or what a foreign producer writes."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Message(Generic[T]):
    """A record that could be read, with what it says."""

    record: Received
    body: T


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record was set aside."""

    error_class: str
    message: str
    attempts: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record whose dead letter is durable, and why it was set aside."""

    record: Received
    letter: DeadLetter


@dataclass(frozen=True)
class Subscription(Generic[T]):
    """A consumer of topics in a group.

    `decode` reads one record; whatever it raises sends the record to the dead letters at once.
    `handle` gets a batch (order kept within a partition) and returns when every effect of it is durable; only then offsets are committed.
    The same batch, or a part of it, may come again, also at the same time on another consumer.
    `on_dead_letters` is awaited after the dead letters of a batch are durable and before the commit; it is repeated until it succeeds.
    `probes` ask the dependencies of `handle` whether they answer (they raise if not): only then is a record to blame for an unknown error.
    `gather_seconds`, a few at most: where nobody waits for what `handle` does, records may lie about so long, for fewer and larger batches.
    """

    topics: tuple[str, ...]
    group: str
    decode: Callable[[Received], T]
    handle: Callable[[Sequence[Message[T]]], Awaitable[None]]
    on_dead_letters: Callable[[Sequence[SetAside]], Awaitable[None]] | None = None
    max_records: int = 500
    probes: tuple[Callable[[], Awaitable[None]], ...] = ()
    service: str = "threadline"
    gather_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """How far a group has come in a partition: its next offset, the end, and when the oldest record not yet passed was written."""

    topic: str
    partition: int
    committed: int
    end: int
    oldest_unprocessed: datetime | None


class Bus(Protocol):
    """The bus, for producers and consumers alike."""

    async def publish(self, records: Sequence[Record], *, then: Sequence[Record] = ()) -> None:
        """Publish all, and `then` only once `records` are durable (on sqlite: one transaction). Returns when all are durable.

        Records of one key keep their order. Raises TransientError when the bus cannot take them; some may lie there all the same,
        so the caller publishes again under the same ids or lets its source deliver again.
        """
        ...

    async def publish_raw(self, records: Sequence[RawRecord]) -> None:
        """Publish records exactly as they are; the same promises as `publish`.

        Raises RecordTooLarge where a topic has a limit of its own; others of the records may lie there all the same.
        """
        ...

    async def consume(self, subscription: Subscription[T]) -> None:
        """Consume until cancelled; a cancel lets the batch in hand end (drain) before it returns.

        Several calls in a group share the partitions.
        """
        ...

    def tail(self, topics: Sequence[str], after: Sequence[Position] | None = None) -> AsyncIterator[Sequence[Received]]:
        """Follow topics without a group, from the end or from behind `after`; a partition that `after` does not name from its beginning.

        Raises PositionExpired where the log no longer reaches back.
        """
        ...

    def read(self, topic: str, since: datetime | None = None) -> AsyncIterator[Received]:
        """Read a topic from its beginning (or from a time) to its present end, in bounded memory."""
        ...

    async def end(self, topics: Sequence[str]) -> tuple[Position, ...]:
        """The positions of the last records, one a partition that has any."""
        ...

    async def progress(self, group: str, topics: Sequence[str]) -> tuple[PartitionProgress, ...]:
        """How far a group has come."""
        ...

    async def probe(self) -> None:
        """Answer whether the bus can be used now; raises TransientError if not."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
