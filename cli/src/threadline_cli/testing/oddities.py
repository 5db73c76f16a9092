"""What reaches the bus beside mail: records that nobody can read, identities that a connector vouches for, commands of desks.

Written by this process onto the bus of a running or dead deployment, as a foreign producer would. Not here: mail and agents (`load`).
"""

import asyncio
import random
from datetime import UTC, datetime

from threadline_events import ids, topics
from threadline_events.commands import Actor, AddNote
from threadline_events.deliveries import DeskPosted
from threadline_events.evidence import Evidence
from threadline_events.inbound import Author, Connector, InboundEvent, Participant
from threadline_events.records import Record, command_record, delivery_record, inbound_record
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.errors import TransientError
from threadline_runtime.opening import open_bus

__all__ = ["Oddities", "unreadable"]

_POISON = (
    b"",
    None,
    b"\xff\xfe",
    b"{",
    b'{"kind": "message.received"}',
    b'{"kind": "message.received", "specversion": "99.0"}',
    b"[" * 5000,
    b"null",
    b"NaN",
    b'{"occurred_at": NaN}',
    b'"\x00"',
    b'{"text": "\\u0000"}',
    b"\x28\xb5\x2f\xfd not really zstd",
    b"x" * 900_000,
)
_HEADERS: tuple[tuple[tuple[str, bytes | None], ...], ...] = (
    (("ce_id", b"\xff"), ("odd", None)),
    (),
    (("content-type", b"text/html"), ("ce_specversion", b"99.0")),
    (("ce_intakeid", b"i_" + b"a" * 26), ("ce_intakeindex", b"-1"), ("ce_intakecount", b"many")),
)
_LARGEST_SHARE = 0.002
CONSUMED = (topics.INBOUND, topics.COMMANDS, topics.INTAKES, topics.OUTBOUND, topics.DELIVERIES)
"""The topics that somebody works off."""


def unreadable(topic: str, dice: random.Random, number: bytes) -> RawRecord:
    """A record that cannot be read, of a random kind; `number` is a header that tells it from the others. The largest kind is rare."""
    value = _POISON[-1] if dice.random() < _LARGEST_SHARE else dice.choice(_POISON[:-1])
    return RawRecord(topic, b"key" + number, value, (*dice.choice(_HEADERS), ("number", number)))


class Oddities:
    """Writes onto a bus; counts what must end as a dead letter."""

    def __init__(self, bus_url: str, seed: int) -> None:
        self._bus_url = bus_url
        self._random = random.Random(seed)  # noqa: S311 - a load, not a secret
        self._number = 0
        self.poisoned = 0
        self.unsure = False
        """Whether a bus that was away may or may not have taken some of the poison."""

    def poison(self, each: int = 1) -> None:
        """So many records on each consumed topic that cannot be read."""
        records = [
            RawRecord(topic, b"key" + bytes([number % 12]), self._random.choice(_POISON), self._random.choice(_HEADERS))
            for topic in CONSUMED
            for number in range(each)
        ]
        try:
            asyncio.run(self._publish_raw(records))
        except TransientError:
            self.unsure = True
            raise
        self.poisoned += len(records)

    def recount(self) -> None:
        """Count the poison as it lies on the bus. Raises TransientError while that is away."""
        self.poisoned = asyncio.run(self._lying_there())
        self.unsure = False

    async def _lying_there(self) -> int:
        bus = await open_bus(self._bus_url, version="test")
        try:
            return len([record for topic in CONSUMED async for record in bus.read(topic) if record.value in _POISON])
        finally:
            await bus.close()

    def identified(self, customer: str) -> None:
        """A platform says that a phone and a mail address are one person's."""
        self._number += 1
        name = f"profile-{self._random.getrandbits(60)}-{self._number}"
        now = datetime.now(UTC)
        event = InboundEvent(
            event_id=ids.event_id("whatsapp", "acme-support", name, "contact.identified"),
            message_id=ids.message_id("acme", "whatsapp", "acme-support", name),
            intake_id=None,
            kind="contact.identified",
            channel="whatsapp",
            account_id="acme-support",
            brand="acme",
            author=Author(identity=f"whatsapp:+49170{self._random.randint(1000000, 1000009)}", evidence=Evidence.PROVIDER),
            participants=(Participant(identity=f"email:{customer}", role="same_as"),),
            occurred_at=now,
            received_at=now,
            connector=Connector(name="whatsapp", version="0"),
        )
        asyncio.run(self._publish([inbound_record(event)]))

    def desk_note(self, conversation_id: str, brand: str) -> None:
        """A desk's note under a reference that is told only afterwards, so that it waits."""
        self._number += 1
        reference = f"C1/{self._random.getrandbits(40)}"
        note = AddNote(
            command_id=ids.command_id("desk", reference),
            brand=brand,
            desk_id="desk",
            desk_reference=reference,
            actor=Actor(identity="desk:sam"),
            issued_at=datetime.now(UTC),
            text="from the desk",
        )
        posted = DeskPosted(desk_id="desk", reference=reference, conversation_id=conversation_id)
        asyncio.run(self._publish([command_record(note)]))
        asyncio.run(self._publish([delivery_record(posted)]))

    def again(self) -> int:
        """Everything good that lies on the consumed topics once more, in any order, as a broker's or a producer's repeat; how many."""
        return asyncio.run(self._publish_again())

    async def _publish_again(self) -> int:
        bus = await open_bus(self._bus_url, version="test")
        try:
            found = [record for topic in CONSUMED async for record in bus.read(topic) if record.value not in _POISON]
            self._random.shuffle(found)
            await bus.publish_raw([RawRecord(each.position.topic, each.key, each.value, each.raw_headers) for each in found])
        finally:
            await bus.close()
        return len(found)

    async def _publish(self, records: list[Record]) -> None:
        bus = await open_bus(self._bus_url, version="test")
        try:
            await bus.publish(records)
        finally:
            await bus.close()

    async def _publish_raw(self, records: list[RawRecord]) -> None:
        bus = await open_bus(self._bus_url, version="test")
        try:
            await bus.publish_raw(records)
        finally:
            await bus.close()
