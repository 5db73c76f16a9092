"""What people do with dead letters, on any bus: list, show, redrive, discard. What was done is noted under the place of the original.

A record that comes back again and again is in quarantine. Not here: when a record is set aside (`processing`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from threadline_events.topics import dead_letter_topic, is_dead_letter_topic, origin_topic

from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.dead_letter_record import Headers, blob_of, original_headers, original_position, redriven_headers, redrives
from threadline_runtime.bus.large_letters import whole
from threadline_runtime.bus.port import Bus, DeadLetter, Position, RawRecord, Received
from threadline_runtime.errors import PermanentError
from threadline_runtime.failpoints import failpoint

__all__ = ["QUARANTINED_AFTER", "DeadLetterNotes", "DeadLetters", "Letter", "Note", "read_reference", "spell_reference"]

QUARANTINED_AFTER = 3
"""So many redrives that ended here again; then it takes force."""

Action = Literal["redriven", "discarded"]


@dataclass(frozen=True, slots=True)
class Note:
    """What was done with a letter, and when."""

    action: Action
    at: datetime


class DeadLetterNotes(Protocol):
    """Where it is noted; the first note stands."""

    async def add(self, origin: Position, note: Note) -> None:
        """Note what was done with the record that lay at `origin`."""
        ...

    async def of_topic(self, topic: str) -> Mapping[Position, Note]:
        """All notes of a topic."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `origin` is where the record lay, or the letter itself when it is none of ours.

    Where it names a `blob`, the record's value and large headers lie there: `DeadLetters.original` reads them.
    """

    origin: Position
    record: Received
    why: DeadLetter
    group: str
    first_at: str
    last_at: str
    service: str
    note: Note | None

    @property
    def redrives(self) -> int:
        """How often it was put back before it came to lie here."""
        return redrives(self.record)

    @property
    def quarantined(self) -> bool:
        """Whether it came back so often that it is not put back again without force."""
        return self.redrives >= QUARANTINED_AFTER

    @property
    def blob(self) -> str | None:
        """The blob that holds the record, where it was too large for its letter."""
        return blob_of(self.record.raw_headers)


class DeadLetters:
    """The dead letters of a bus."""

    def __init__(self, bus: Bus, notes: DeadLetterNotes, blobs: BlobStore, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._notes = notes
        self._blobs = blobs
        self._now = now

    async def of_topic(self, topic: str, *, settled: bool = False) -> AsyncIterator[Letter]:
        """The letters of a topic, once a record and group; `settled` shows those that were redriven or discarded as well."""
        notes = {**await self._notes.of_topic(topic), **await self._notes.of_topic(dead_letter_topic(topic))}
        seen: set[tuple[Position, str]] = set()
        async for record in self._bus.read(dead_letter_topic(topic)):
            letter = _letter(record, notes)
            mark = (letter.origin, letter.group)
            if mark not in seen and (settled or letter.note is None):
                yield letter
            seen.add(mark)  # a crash between letter and commit leaves the same letter twice

    async def find(self, origin: Position) -> tuple[Letter, ...]:
        """The letters of one record, one a group that set it aside; raises PermanentError where there is none."""
        topic = origin_topic(origin.topic) if is_dead_letter_topic(origin.topic) else origin.topic
        found = [letter async for letter in self.of_topic(topic, settled=True) if letter.origin == origin]
        if not found:
            raise PermanentError(f"no dead letter {spell_reference(origin)}: `threadline dlq list` shows all")
        return tuple(found)

    async def original(self, letter: Letter) -> RawRecord:
        """The record as it was before it was set aside: key, value and headers, and so its ids.

        Raises PermanentError where its blob is gone, TransientError where blobs cannot be read now.
        """
        return await self._record(letter, original_headers)

    async def redrive(self, origin: Position, *, force: bool = False) -> Letter:
        """Publish the record again as it was, ids and all; raises PermanentError when it is settled already, or in quarantine."""
        letter = (await self._unsettled(origin))[0]
        if letter.quarantined and not force:
            raise PermanentError(
                f"{spell_reference(origin)} came back after {letter.redrives} redrives: mend the cause and add --force, or discard it"
            )
        await self._put_back(letter)
        return letter

    async def redrive_topic(self, topic: str) -> AsyncIterator[Letter]:
        """Redrive what was set aside of a topic, but what is in quarantine; the next only when the caller asks for it, at his pace.

        What ends here again meanwhile is not redriven once more.
        """
        done: set[Position] = set()
        async for letter in self.of_topic(topic):
            if letter.origin not in done and not letter.quarantined:
                done.add(letter.origin)
                await self._put_back(letter)
                yield letter

    async def discard(self, origin: Position, record_outcome: Callable[[Letter], Awaitable[None]]) -> Letter:
        """Give the record up: its outcome is recorded first, then the note; raises PermanentError when it is settled already."""
        letters = await self._unsettled(origin)
        for letter in letters:
            await record_outcome(letter)
        await failpoint("bus.after_discard")
        await self._notes.add(origin, Note("discarded", self._now()))
        return letters[0]

    async def _put_back(self, letter: Letter) -> None:
        await self._bus.publish_raw([await self._record(letter, redriven_headers)])
        await failpoint("bus.after_redrive")
        await self._notes.add(letter.origin, Note("redriven", self._now()))

    async def _record(self, letter: Letter, headers: Callable[[Received], Headers]) -> RawRecord:
        if original_position(letter.record) is None:
            foreign = letter.record
            return RawRecord(origin_topic(foreign.position.topic), foreign.key, foreign.value, foreign.raw_headers)
        record = await whole(letter.record, self._blobs)
        return RawRecord(letter.origin.topic, record.key, record.value, headers(record))

    async def _unsettled(self, origin: Position) -> tuple[Letter, ...]:
        letters = await self.find(origin)
        note = letters[0].note
        if note is not None:
            raise PermanentError(f"{spell_reference(origin)} was {note.action} already, at {note.at:%Y-%m-%d %H:%M} UTC")
        return letters


def spell_reference(place: Position) -> str:
    """A place as people write it: topic/partition/offset."""
    return f"{place.topic}/{place.partition}/{place.offset}"


def read_reference(text: str) -> Position:
    """The place in topic/partition/offset; raises PermanentError."""
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        raise PermanentError(f"{text!r} is no dead letter: write topic/partition/offset as `threadline dlq list` shows it")
    return Position(parts[0], int(parts[1]), int(parts[2]))


def _letter(record: Received, notes: Mapping[Position, Note]) -> Letter:
    def text(name: str) -> str:
        return record.headers.get(name, b"").decode("utf-8", "replace")

    origin = original_position(record) or record.position
    attempts = text("dlq_attempts")
    why = DeadLetter(text("dlq_error_class"), text("dlq_message"), int(attempts) if attempts.isascii() and attempts.isdigit() else 0)
    return Letter(origin, record, why, text("dlq_group"), text("dlq_first_at"), text("dlq_last_at"), text("dlq_service"), notes.get(origin))
