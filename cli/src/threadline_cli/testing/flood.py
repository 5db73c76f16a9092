"""A flood of unreadable records between good ones on the inbound topic, worked off by the router's own consumer.

Used by a fault test (nothing lost, every byte kept) and by a benchmark (what poison costs). Not here: the kinds (`oddities`).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from router.app import Router
from router.consuming import GROUPS
from router.testing.desk import mail
from threadline_events import topics
from threadline_events.inbound import InboundEvent
from threadline_events.records import inbound_record
from threadline_runtime.bus.dead_letter_record import original_headers
from threadline_runtime.bus.port import RawRecord, Received
from threadline_runtime.errors import TransientError

from threadline_cli.testing.oddities import unreadable

__all__ = ["Flood", "Passed", "letters_of", "pass_through"]

_CUSTOMERS = 500
_AT_ONCE = 1000
_LOOK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True)
class Flood:
    """So many good records and so many that nobody can read, shuffled the same way for the same seed."""

    good: int
    poison: int
    seed: int

    def poisoned(self) -> Sequence[RawRecord]:
        """Those that must end as dead letters; each has a header that tells it from the others."""
        dice = random.Random(self.seed)  # noqa: S311 - a load, not a secret
        return [unreadable(topics.INBOUND, dice, b"%d" % number) for number in range(self.poison)]

    def message_ids(self) -> Sequence[str]:
        """Of the good ones."""
        return [each.message_id for each in self._mails()]

    def records(self) -> Sequence[RawRecord]:
        """All of them, as they are published."""
        now = datetime.now(UTC)
        read = [inbound_record(each.model_copy(update={"occurred_at": now, "received_at": now})) for each in self._mails()]
        good = [RawRecord(each.topic, each.key, each.value, tuple(each.headers.items())) for each in read]
        mixed = [*good, *self.poisoned()]
        random.Random(self.seed).shuffle(mixed)  # noqa: S311 - a load, not a secret
        return mixed

    def _mails(self) -> Sequence[InboundEvent]:
        return [mail(f"m{number}", author=f"customer{number % _CUSTOMERS}@client.test") for number in range(self.good)]


@dataclass(frozen=True, slots=True)
class Passed:
    """How long it took from the first record to the last commit, and how much CPU of this process."""

    seconds: float
    cpu: float


async def pass_through(router: Router, records: Sequence[RawRecord], within: float) -> Passed:
    """Publish, then let the inbound consumer work all of it off. Raises TimeoutError."""
    for start in range(0, len(records), _AT_ONCE):
        await router.bus.publish_raw(records[start : start + _AT_ONCE])
    (subscription,) = [each for each in router.consumers.all() if each.group == GROUPS[topics.INBOUND]]
    first: list[Passed] = []

    def decode(record: Received) -> object:
        if not first:
            first.append(Passed(time.monotonic(), time.process_time()))
        return subscription.decode(record)

    consumer = asyncio.create_task(router.bus.consume(replace(subscription, decode=decode)))
    try:
        async with asyncio.timeout(within):
            while not await _caught_up(router):  # noqa: ASYNC110 - a bus has no event for it
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return Passed(time.monotonic() - first[0].seconds, time.process_time() - first[0].cpu)
    finally:
        consumer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await consumer


async def _caught_up(router: Router) -> bool:
    try:
        return all(part.committed >= part.end for part in await router.bus.progress(GROUPS[topics.INBOUND], [topics.INBOUND]))
    except TransientError:  # a Kafka that has only just started has nobody yet who knows about groups
        return False


async def letters_of(router: Router) -> Sequence[tuple[RawRecord, str]]:
    """Every dead letter as it was before it was set aside, with its reason."""
    found = [record async for record in router.bus.read(topics.dead_letter_topic(topics.INBOUND))]
    return [
        (RawRecord(topics.INBOUND, each.key, each.value, original_headers(each)), each.headers["dlq_error_class"].decode())
        for each in found
    ]
