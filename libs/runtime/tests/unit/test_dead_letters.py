"""Dead letters: seen once, redriven with their ids, discarded on record (P3)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.dead_letter_notes import SqliteDeadLetterNotes
from threadline_runtime.bus.dead_letter_record import dead_letter_record
from threadline_runtime.bus.dead_letters import DeadLetters, Letter, read_reference, spell_reference
from threadline_runtime.bus.port import DeadLetter, Message, Position, RawRecord, SetAside, Subscription
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import PermanentError, RecordTooLarge
from threadline_runtime.sqlite import MEMORY, SqliteDatabase
from threadline_runtime.testing.bus_suite import FAST, decode, drain, eventually

_TOPIC = "threadline.inbound.v1"
_NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
_RECORD = RawRecord(_TOPIC, b"key", b"poison", (("ce_id", b"e_1"), ("odd", b"\xff"), ("n", None)))


@pytest.fixture
async def bus(tmp_path: Path):
    bus = await SqliteBus.open(SqliteDatabase.open(MEMORY), retry=FAST, partitions=1, blobs=FileBlobs.open(tmp_path / "blobs"))
    yield bus
    await bus.close()


@pytest.fixture
async def letters(bus: SqliteBus, tmp_path: Path):
    database = SqliteDatabase.open(MEMORY)
    notes = SqliteDeadLetterNotes(database)
    await notes.migrate()
    yield DeadLetters(bus, notes, FileBlobs.open(tmp_path / "blobs"), lambda: _NOW)
    await database.close()


async def _set_aside(bus: SqliteBus, *, group: str = "router.pipeline", times: int = 1) -> Position:
    """Put the record on the bus and its letter beside it, as a consumer would."""
    await bus.publish_raw([_RECORD])
    record = [r async for r in bus.read(_TOPIC)][-1]
    letter = dead_letter_record(
        record, DeadLetter("KeyError", "a defect", 5), group=group, service="router", version="1", first_at=_NOW, last_at=_NOW
    )
    await bus.publish_raw([letter] * times)
    return record.position


async def test_a_letter_is_shown_once_with_its_reason(bus: SqliteBus, letters: DeadLetters) -> None:
    """A crash between letter and commit leaves it twice on the bus."""
    origin = await _set_aside(bus, times=2)
    (letter,) = [one async for one in letters.of_topic(_TOPIC)]
    assert (letter.origin, letter.group, letter.why.error_class, letter.why.attempts) == (origin, "router.pipeline", "KeyError", 5)
    assert letter.first_at == "2026-11-24T09:00:00.000Z"
    assert await letters.original(letter) == _RECORD


async def test_redrive_publishes_the_record_as_it_was_once(bus: SqliteBus, letters: DeadLetters) -> None:
    """P2: the ids stay, so what was done is not done again."""
    origin = await _set_aside(bus)
    await letters.redrive(origin)
    first, second = [r async for r in bus.read(_TOPIC)]
    assert (first.key, first.value, first.raw_headers) == (_RECORD.key, _RECORD.value, _RECORD.headers)
    assert (second.key, second.value, second.raw_headers) == (_RECORD.key, _RECORD.value, (*_RECORD.headers, ("dlq_redrives", b"1")))
    assert [one async for one in letters.of_topic(_TOPIC)] == []
    (settled,) = [one async for one in letters.of_topic(_TOPIC, settled=True)]
    assert settled.note is not None
    assert settled.note.action == "redriven"
    with pytest.raises(PermanentError, match="was redriven already, at 2026-11-24 09:00 UTC"):
        await letters.redrive(origin)


async def test_a_redriven_record_that_fails_again_is_a_letter_of_its_own(bus: SqliteBus, letters: DeadLetters) -> None:
    async def fail(_: Sequence[Message[str]]) -> None:
        raise PermanentError("never")

    origin = await _set_aside(bus)
    await letters.redrive(origin)
    task = asyncio.create_task(bus.consume(Subscription((_TOPIC,), "g", decode, fail)))

    async def both() -> bool:
        return len([one async for one in letters.of_topic(_TOPIC)]) == 1 and bool((await bus.progress("g", [_TOPIC]))[0].committed == 2)

    await eventually(both)
    await drain(task)
    (again,) = [one async for one in letters.of_topic(_TOPIC)]
    assert again.origin.offset == 1
    assert await letters.original(again) == _RECORD
    assert again.redrives == 1


async def test_discard_records_the_outcome_for_each_group_before_its_note(bus: SqliteBus, letters: DeadLetters) -> None:
    """P3: given up is an outcome, too."""
    origin = await _set_aside(bus)
    told: list[str] = []

    async def outcome(letter: Letter) -> None:
        assert [one async for one in letters.of_topic(_TOPIC)], "not noted before the outcome is recorded"
        told.append(letter.group)

    await letters.discard(origin, outcome)
    assert told == ["router.pipeline"]
    assert [one async for one in letters.of_topic(_TOPIC)] == []
    assert len([r async for r in bus.read(_TOPIC)]) == 1


async def test_a_foreign_letter_can_be_redriven_too(bus: SqliteBus, letters: DeadLetters) -> None:
    await bus.publish_raw([RawRecord(_TOPIC + ".dlq", b"k", b"v", (("x", b"y"),))])
    (letter,) = [one async for one in letters.of_topic(_TOPIC)]
    await letters.redrive(letter.origin)
    assert [(r.value, r.raw_headers) async for r in bus.read(_TOPIC)] == [(b"v", (("x", b"y"),))]
    assert [one async for one in letters.of_topic(_TOPIC)] == []


async def test_references_are_what_list_shows(letters: DeadLetters) -> None:
    place = Position(_TOPIC, 3, 17)
    assert read_reference(spell_reference(place)) == place
    for text in ("", "x", "t/1", "t/a/1", "t/-1/1", "t/1/²"):
        with pytest.raises(PermanentError, match="write topic/partition/offset"):
            read_reference(text)
    with pytest.raises(PermanentError, match=r"no dead letter threadline\.inbound\.v1/3/17"):
        await letters.find(place)


async def test_a_flood_of_poison_is_set_aside_batch_by_batch(bus: SqliteBus) -> None:
    """P8: else each unreadable record would cost as much as a whole batch of good ones."""
    told: list[int] = []

    async def hook(aside: Sequence[SetAside]) -> None:
        told.append(len(aside))

    async def handle(_: Sequence[Message[str]]) -> None:
        return None

    await bus.publish_raw([RawRecord(_TOPIC, b"k", b"good" if n % 2 else b"\xff", ()) for n in range(100)])
    task = asyncio.create_task(bus.consume(Subscription((_TOPIC,), "g", decode, handle, hook)))

    async def passed() -> bool:
        return (await bus.progress("g", [_TOPIC]))[0].committed == 100

    await eventually(passed)
    await drain(task)
    assert told == [50]
    dead = [r async for r in bus.read(_TOPIC + ".dlq")]
    assert [int(r.headers["dlq_offset"]) for r in dead] == list(range(0, 100, 2))


async def _fails_for_ever(bus: SqliteBus, letters: DeadLetters, count: int) -> asyncio.Task[None]:
    """A consumer that sets everything aside, once it has set aside so many."""

    async def fail(_: Sequence[Message[str]]) -> None:
        raise PermanentError("never")

    task = asyncio.create_task(bus.consume(Subscription((_TOPIC,), "g", decode, fail)))
    await _set_aside_times(letters, count)
    return task


async def _set_aside_times(letters: DeadLetters, count: int) -> None:
    async def reached() -> bool:
        return len([one async for one in letters.of_topic(_TOPIC, settled=True)]) == count

    await eventually(reached)


async def test_what_comes_back_again_and_again_is_in_quarantine(bus: SqliteBus, letters: DeadLetters) -> None:
    """P8: a record that can never be handled does not go round for ever; force puts it back all the same."""
    await bus.publish_raw([_RECORD])
    task = await _fails_for_ever(bus, letters, 1)
    for times in range(3):
        assert [letter.redrives async for letter in letters.redrive_topic(_TOPIC)] == [times]
        await _set_aside_times(letters, times + 2)
    (stuck,) = [one async for one in letters.of_topic(_TOPIC)]
    assert (stuck.redrives, stuck.quarantined, await letters.original(stuck)) == (3, True, _RECORD)
    assert [one async for one in letters.redrive_topic(_TOPIC)] == []
    with pytest.raises(PermanentError, match="came back after 3 redrives: mend the cause and add --force"):
        await letters.redrive(stuck.origin)
    await letters.redrive(stuck.origin, force=True)
    await _set_aside_times(letters, 5)
    await drain(task)


async def test_a_topic_is_redriven_at_the_callers_pace_and_each_record_once(bus: SqliteBus, letters: DeadLetters) -> None:
    """Two groups set the same record aside: it is put back once."""
    for _ in range(3):
        await _set_aside(bus)
        letter = [one async for one in letters.of_topic(_TOPIC)][-1].record
        headers = tuple((name, b"another" if name == "dlq_group" else value) for name, value in letter.raw_headers)
        await bus.publish_raw([RawRecord(_TOPIC + ".dlq", letter.key, letter.value, headers)])
    back = letters.redrive_topic(_TOPIC)
    await anext(back)
    assert len([r async for r in bus.read(_TOPIC)]) == 4
    assert len([letter async for letter in back]) == 2
    assert len([r async for r in bus.read(_TOPIC)]) == 6
    assert [one async for one in letters.of_topic(_TOPIC)] == []


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"9" * 400, None])
async def test_a_forged_count_of_redrives_is_the_records_own_header(bus: SqliteBus, letters: DeadLetters, value: bytes | None) -> None:
    """P6: whatever a foreign record carries is kept."""
    forged = RawRecord(_TOPIC, b"key", b"\xff", (("a", b"b"), ("dlq_redrives", value)))
    await bus.publish_raw([forged])
    task = await _fails_for_ever(bus, letters, 1)
    await drain(task)
    (letter,) = [one async for one in letters.of_topic(_TOPIC)]
    assert (await letters.original(letter), letter.redrives) == (forged, 0)


async def test_a_topic_with_a_limit_of_its_own_gets_the_letters_it_refuses_by_blob(
    bus: SqliteBus, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8: one record that does not fit there blocks nothing and changes no other letter."""
    real = bus.publish_raw

    async def publish_raw(records: Sequence[RawRecord]) -> None:
        if any(len(record.value or b"") > 1000 for record in records):
            raise RecordTooLarge("a record is larger than its topic takes")
        await real(records)

    large = RawRecord(_TOPIC, b"key", b"\xff" * 1001, _RECORD.headers)
    small = RawRecord(_TOPIC, b"key", b"\xff", _RECORD.headers)
    await bus.publish_raw([small, large, small])
    monkeypatch.setattr(bus, "publish_raw", publish_raw)
    task = await _fails_for_ever(bus, letters, 3)
    await drain(task)
    found = [one async for one in letters.of_topic(_TOPIC)]
    assert [one.blob is not None for one in found] == [False, True, False]
    assert [await letters.original(one) for one in found] == [small, large, small]


async def test_a_large_record_that_comes_back_is_counted_in_quarantine_too(bus: SqliteBus, letters: DeadLetters) -> None:
    """The count stands in the letter, so that a list need not read the blob."""
    record = RawRecord(_TOPIC, b"key", b"\xff" * 1_500_000, (("a", b"b"), *((f"h{n}", b"\xff" * 900) for n in range(100))))
    await bus.publish_raw([record])
    task = await _fails_for_ever(bus, letters, 1)
    for times in range(3):
        await anext(letters.redrive_topic(_TOPIC))
        await _set_aside_times(letters, times + 2)
    await drain(task)
    (stuck,) = [one async for one in letters.of_topic(_TOPIC)]
    assert (stuck.redrives, await letters.original(stuck)) == (3, record)


async def test_a_letter_whose_blob_is_gone_or_another_says_so(bus: SqliteBus, letters: DeadLetters, tmp_path: Path) -> None:
    """P6: what was not put there is never given out as the record."""
    await bus.publish_raw([RawRecord(_TOPIC, b"key", b"\xff" * 1_500_000)])
    await drain(await _fails_for_ever(bus, letters, 1))
    (letter,) = [one async for one in letters.of_topic(_TOPIC)]
    assert letter.blob is not None
    (tmp_path / "blobs" / letter.blob).write_bytes(b"{}")
    with pytest.raises(PermanentError, match="does not hold what was put there"):
        await letters.redrive(letter.origin)
    (tmp_path / "blobs" / letter.blob).unlink()
    with pytest.raises(PermanentError, match="which is not there: is THREADLINE_BLOBS__URL that of the services"):
        await letters.redrive(letter.origin)
    assert [one.note async for one in letters.of_topic(_TOPIC)] == [None]


@pytest.mark.parametrize("name", [b"", b"\xff", b"dead-letters/" + b"0" * 64, b"raw/i_1", b"../../etc/passwd", None])
async def test_a_forged_name_of_a_blob_is_the_records_own_header(bus: SqliteBus, letters: DeadLetters, name: bytes | None) -> None:
    """A foreign header cannot make us read another's bytes."""
    forged = RawRecord(_TOPIC, b"key", b"\xff", (("dlq_blob", name), ("a", b"b"), ("dlq_blob", name)))
    await bus.publish_raw([forged])
    await drain(await _fails_for_ever(bus, letters, 1))
    (letter,) = [one async for one in letters.of_topic(_TOPIC)]
    assert (await letters.original(letter), letter.blob) == (forged, None)
