"""What the router's workers are given: stores, bus, clock, policies, signer. Not here: making them (`app`)."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from threadline_events.inbound import Attachment
from threadline_events.records import Record
from threadline_runtime.errors import TransientError

from router.domain.policy import Policies
from router.domain.tokens import MailSigner
from router.store.port import DeskStore, OutcomeStore, TimelineStore

__all__ = ["Clock", "Parts", "Publisher", "Tally", "TooManyRounds", "Uploads", "rounds"]

Clock = Callable[[], datetime]
Uploads = Callable[[str, Iterable[str]], Awaitable[Mapping[str, Attachment]]]
"""The files of these hashes that were uploaded for a brand."""
_ROUNDS = 60


class Publisher(Protocol):
    """The half of the bus that the router's workers need."""

    async def publish(self, records: Sequence[Record], *, then: Sequence[Record] = ()) -> None:
        """Publish all; returns when they are durable."""
        ...


class Tally(Protocol):
    """Who counts what the pipeline does, for metrics. Repeats after a crash are counted again."""

    def received(self, channel: str, account_id: str) -> None:
        """An event was read from the bus."""
        ...

    def stored(self, channel: str, account_id: str, seconds: float) -> None:
        """It became a timeline entry, so long after its time at the source."""
        ...

    def ended(self, channel: str, account_id: str, outcome: str, reason: str | None) -> None:
        """It ended in another outcome."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """One process has one set of these."""

    timeline: TimelineStore
    outcomes: OutcomeStore
    desks: DeskStore
    uploads: Uploads
    bus: Publisher
    clock: Clock
    policies: Policies
    signer: MailSigner
    tally: Tally


class TooManyRounds(TransientError):  # noqa: N818 - it says what happened
    """A document changed under us again and again; the batch is tried again later."""


def rounds(what: str) -> "Rounds":
    """Start over as long as somebody else was quicker, but not for ever."""
    return Rounds(what)


class Rounds:
    """Iterates sixty times, then raises TooManyRounds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = _ROUNDS

    def __iter__(self) -> "Rounds":
        return self

    def __next__(self) -> int:
        if self._left == 0:
            raise TooManyRounds(f"{self._what}: changed under us {_ROUNDS} times in a row")
        self._left -= 1
        return _ROUNDS - self._left
