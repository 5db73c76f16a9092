"""Failing records and failing dependencies: poison never blocks, faults never skip."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from threadline_events.topics import dead_letter_topic

from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.dead_letter_notes import SqliteDeadLetterNotes
from threadline_runtime.bus.dead_letter_record import original_headers, original_position
from threadline_runtime.bus.dead_letters import DeadLetters
from threadline_runtime.bus.port import Bus, Message, RawRecord, SetAside
from threadline_runtime.errors import PermanentError, TransientError
from threadline_runtime.sqlite import MEMORY, SqliteDatabase
from threadline_runtime.testing.bus.rig import TOPIC, BusRig, Seen, record

__all__ = ["FailureSuite"]


class FailureSuite(BusRig):
    """Failing records and failing dependencies: poison never blocks, faults never skip."""

    async def test_a_transient_failure_loses_and_reorders_nothing(self, bus: Bus) -> None:
        """P8: faults never skip."""
        seen, broken, failures = Seen(), True, 0

        async def handle(messages: Sequence[Message[str]]) -> None:
            nonlocal failures, broken
            if broken:
                failures += 1
                broken = failures < 12
                raise TransientError("the database does not answer")
            await seen.handle(messages)

        await bus.publish([record("a", str(n)) for n in range(50)])
        async with self.consuming(bus, handle):
            await seen.until(lambda values: len(values) >= 50)
            await self.until_committed(bus)
        assert seen.values == [str(n) for n in range(50)]
        assert await self.all_of(bus, dead_letter_topic(TOPIC)) == []

    async def test_a_consumer_that_waits_can_be_stopped_and_nothing_is_lost(self, bus: Bus) -> None:
        """P8: stopping during an outage commits nothing."""
        failed, seen = asyncio.Event(), Seen()

        async def fail(_: Sequence[Message[str]]) -> None:
            failed.set()
            raise TransientError("the database does not answer")

        await bus.publish([record("a", "1")])
        async with self.consuming(bus, fail):
            await failed.wait()
        assert not await self.committed(bus)
        async with self.consuming(bus, seen.handle):
            await seen.until_all("1")

    async def test_what_cannot_be_decoded_is_set_aside_and_the_partition_moves_on(self, bus: Bus) -> None:
        """P8: poison never blocks; the dead letter is the original, with the reason behind its headers."""
        seen = Seen()
        told: list[tuple[bytes | None, str, bool]] = []
        headers: tuple[tuple[str, bytes | None], ...] = (("ce_id", b"\xff"), ("dlq_topic", b"forged"), ("n", None))

        async def hook(aside: Sequence[SetAside]) -> None:
            durable = {letter.value for letter in await self.all_of(bus, dead_letter_topic(TOPIC))}
            told.extend((each.record.value, each.letter.error_class, each.record.value in durable) for each in aside)

        await bus.publish([record("a", "1")])
        await bus.publish_raw([RawRecord(TOPIC, b"a", b"\xff\xfe", headers), RawRecord(TOPIC, b"a", None, headers)])
        await bus.publish([record("a", "2")])
        async with self.consuming(bus, seen.handle, on_dead_letters=hook):
            await seen.until_all("1", "2")
            await self.until_committed(bus)
        letters = await self.all_of(bus, dead_letter_topic(TOPIC))
        assert [(letter.key, letter.value) for letter in letters] == [(b"a", b"\xff\xfe"), (b"a", None)]
        assert original_headers(letters[0]) == headers
        place = original_position(letters[0])
        assert place is not None
        assert (place.topic, place.offset) == (TOPIC, 1)
        assert letters[0].headers["dlq_group"] == b"group"
        assert letters[0].headers["dlq_error_class"] == b"UnicodeDecodeError"
        assert told == [(b"\xff\xfe", "UnicodeDecodeError", True), (None, "ValueError", True)]

    async def test_poison_within_a_batch_is_isolated(self, bus: Bus) -> None:
        """P8: one record that can never succeed is set aside at once, its neighbours pass in order."""
        seen = Seen()

        async def handle(messages: Sequence[Message[str]]) -> None:
            if any(message.body == "poison" for message in messages):
                raise PermanentError("this can never be handled")
            await seen.handle(messages)

        values = [str(n) for n in range(20)]
        await bus.publish([record("a", value) for value in [*values[:13], "poison", *values[13:]]])
        async with self.consuming(bus, handle):
            await self.until_committed(bus)
        assert seen.values == values
        (letter,) = await self.all_of(bus, dead_letter_topic(TOPIC))
        assert (letter.value, letter.headers["dlq_attempts"], letter.headers["dlq_message"]) == (
            b"poison", b"1", b"this can never be handled",
        )  # fmt: skip

    async def test_an_unknown_error_is_tried_five_times_alone_then_set_aside_if_the_dependencies_answer(self, bus: Bus) -> None:
        """P8: a defect in our code blocks nothing but the record that shows it."""
        seen, alone = Seen(), 0

        async def handle(messages: Sequence[Message[str]]) -> None:
            nonlocal alone
            if any(message.body == "odd" for message in messages):
                alone += len(messages) == 1
                raise KeyError("a defect of ours")
            await seen.handle(messages)

        async def probe() -> None:
            return None

        await bus.publish([record("a", "1"), record("a", "odd"), record("a", "2")])
        async with self.consuming(bus, handle, probes=(probe,)):
            await self.until_committed(bus)
        assert seen.values == ["1", "2"]
        assert alone == 5
        (letter,) = await self.all_of(bus, dead_letter_topic(TOPIC))
        assert (letter.value, letter.headers["dlq_attempts"]) == (b"odd", b"5")

    async def test_an_unknown_error_while_a_dependency_is_down_skips_nothing(self, bus: Bus) -> None:
        """P8: with the dependencies down intake pauses, and goes on by itself when they are back."""
        seen, asked = Seen(), 0

        async def probe() -> None:
            nonlocal asked
            asked += 1
            if asked < 5:
                raise OSError("no route to host")

        async def handle(messages: Sequence[Message[str]]) -> None:
            if asked < 5:
                raise OSError("no route to host")
            await seen.handle(messages)

        await bus.publish([record("a", str(n)) for n in range(10)])
        async with self.consuming(bus, handle, probes=(probe,)):
            await seen.until(lambda values: len(values) >= 10)
            await self.until_committed(bus)
        assert seen.values == [str(n) for n in range(10)]
        assert await self.all_of(bus, dead_letter_topic(TOPIC)) == []

    async def test_the_hook_of_a_dead_letter_is_repeated_until_it_succeeds(self, bus: Bus) -> None:
        """P3: a dead letter without its recorded outcome would be a missing event."""
        calls = 0

        async def hook(_: Sequence[SetAside]) -> None:
            nonlocal calls
            calls += 1
            if calls < 4:
                raise OSError("the database does not answer")

        await bus.publish_raw([RawRecord(TOPIC, b"a", b"\xff")])
        async with self.consuming(bus, Seen().handle, on_dead_letters=hook):
            await self.until_committed(bus)
        assert calls == 4
        assert len(await self.all_of(bus, dead_letter_topic(TOPIC))) == 1

    async def test_what_is_larger_than_a_dead_letter_is_set_aside_by_a_blob_and_redriven_with_its_bytes(
        self, bus: Bus, tmp_path: Path
    ) -> None:
        """P6, P8: an operator let larger records in; neither a large value nor large headers stop a partition."""
        seen, database = Seen(), SqliteDatabase.open(MEMORY)
        notes = SqliteDeadLetterNotes(database)
        await notes.migrate()
        letters = DeadLetters(bus, notes, FileBlobs.open(tmp_path / "blobs"), lambda: datetime.now(UTC))
        poison = [
            RawRecord(TOPIC, b"a", b"\xff" + os.urandom(2_000_000), (("ce_id", b"\xff"), ("ce_id", b"e_1"), ("n", None))),
            RawRecord(TOPIC, b"a", None, (("ce_id", b"e_2"), ("odd", os.urandom(1_500_000)))),
            RawRecord(TOPIC, b"a" + os.urandom(1_500_000), b"\xff"),
            RawRecord(TOPIC, b"a", b"\xff", (("small", b"\x00"),)),
        ]
        await bus.publish([record("a", "1")])
        await bus.publish_raw(poison)
        await bus.publish([record("a", "2")])
        async with self.consuming(bus, seen.handle):
            await seen.until_all("1", "2")
            await self.until_committed(bus)
        found = [letter async for letter in letters.of_topic(TOPIC)]
        assert {await letters.original(letter) for letter in found} == set(poison)
        assert {letter.record.headers.get("ce_id") for letter in found if letter.blob} == {b"e_1", b"e_2", None}
        before = {received.position for received in await self.all_of(bus)}
        for letter in found:
            await letters.redrive(letter.origin)
        back = [received for received in await self.all_of(bus) if received.position not in before]
        assert {(each.key, each.value, each.raw_headers) for each in back} == {
            (each.key, each.value, (*each.headers, ("dlq_redrives", b"1"))) for each in poison
        }
        await database.close()
