"""The contract of a source that is polled: a poller yields payloads with positions, and the host does the rest.

Not here: leases, checkpoints, reading, publishing, retry and metrics (`poller_host`).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from threadline_connectors.errors import PayloadError
from threadline_connectors.said import Content, Said

__all__ = ["Batch", "Fetched", "PayloadReader", "Poller", "Reading", "Source"]

PayloadT = TypeVar("PayloadT")


@dataclass(frozen=True, slots=True)
class Source:
    """What one poller follows: a stream of an account (a mail folder, a timeline). Exactly one owner at a time."""

    account_id: str
    stream: str

    @property
    def lease_name(self) -> str:
        """The lease that its owner holds."""
        return f"poller/{self.account_id}/{self.stream}"


@dataclass(frozen=True, slots=True)
class Fetched(Generic[PayloadT]):
    """One payload and what names it at the source for ever (`place`: folder, UIDVALIDITY, UID), so that its intake id is the same again."""

    place: tuple[str | int, ...]
    payload: PayloadT
    raw: Content
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Batch(Generic[PayloadT]):
    """Payloads in the order of the source, and the position to store once all of them are published.

    `caught_up`: nothing was waiting at the source behind this batch. `oldest` is when its first payload reached the source.
    A batch without payloads moves the position only, or says that the poller listens.
    """

    payloads: tuple[Fetched[PayloadT], ...]
    position: str
    caught_up: bool = False
    oldest: datetime | None = None


class Poller(Protocol[PayloadT]):
    """Follows one source over one connection; the host makes a new round after any error.

    Every method raises: AuthError (credentials refused), RetryableError (not reachable now), ConfigurationError (the operator must act).
    """

    async def start(self) -> str:
        """The position to begin at where none is stored, by the account's own policy. Stored before the first fetch."""
        ...

    def follow(self, position: str) -> AsyncIterator[Batch[PayloadT]]:
        """Batches from behind `position`, for ever; waits at the source when there is nothing."""
        ...

    async def published(self, batch: Batch[PayloadT]) -> None:
        """Called after the batch's position is stored: the only place where anything may be marked at the source."""
        ...

    async def close(self) -> None:
        """Let go of the connection; the same poller may be started again."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one payload: what it says, or why it is rejected.

    `spooled` are files and folders that hold its media until the batch is stored; the host removes them.
    """

    said: tuple[Said, ...] = ()
    rejection: PayloadError | None = None
    spooled: tuple[Path, ...] = ()


class PayloadReader(Protocol[PayloadT]):
    """Reads payloads outside the event loop where reading can burn time or memory; answers one reading a payload, in order.

    Raises only faults of our own (TransientError): a payload that cannot be read is a rejection.
    """

    async def read(self, payloads: Sequence[Fetched[PayloadT]]) -> Sequence[Reading]:
        """One reading for each payload, in order."""
        ...
