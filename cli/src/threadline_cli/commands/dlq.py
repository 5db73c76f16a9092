"""`threadline dlq`: what was set aside, why, and what people do with it. The doing stands in `threadline_runtime.bus.dead_letters`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from router.by_headers import outcome_by_headers
from router.store.port import OutcomeStore
from router.stores import migrate, stores_of
from threadline_events import topics
from threadline_runtime.bus.dead_letters import DeadLetters, Letter, read_reference, spell_reference
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.opening import dead_letter_notes_of, open_blobs

from threadline_cli.options import DataOption, JsonOption, example
from threadline_cli.output import JsonObject, notes, print_json_line, print_table, say, table
from threadline_cli.rendering import safe
from threadline_cli.stores import folder_settings, opened_bus, opened_database

__all__ = ["register"]

_DATA = Path("data")
_SHOWN_BYTES = 4096
ReferenceArgument = Annotated[str, typer.Argument(metavar="REF", help="topic/partition/offset, as listed.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    dlq = typer.Typer(help="Dead letters: list, show, redrive, discard.", no_args_is_help=True, rich_markup_mode="rich")
    dlq.command("list", epilog=example("threadline dlq list --topic threadline.inbound.v1"))(list_letters)
    dlq.command(epilog=example("threadline dlq show threadline.inbound.v1/3/1412"))(show)
    dlq.command(
        epilog=example(
            "threadline dlq redrive threadline.inbound.v1/3/1412", "threadline dlq redrive --topic threadline.inbound.v1 --rate 20"
        )
    )(redrive)
    dlq.command(epilog=example("threadline dlq discard threadline.inbound.v1/3/1412"))(discard)
    app.add_typer(dlq, name="dlq")


def list_letters(
    topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="Only what was set aside from this topic.")] = None,
    settled: Annotated[bool, typer.Option("--all", help="Show those that were redriven or discarded, too.")] = False,
    data: DataOption = _DATA,
    as_json: JsonOption = False,
) -> None:
    """List what was set aside and not yet dealt with."""
    _refuse_unknown(topic)
    letters = asyncio.run(_list(data, (topic,) if topic else topics.ALL, settled=settled))
    if as_json:
        for letter in letters:
            print_json_line(_as_json(letter))
    elif letters:
        rows = [
            (spell_reference(each.origin), each.last_at, each.group, each.why.error_class, safe(each.why.message), _note(each))
            for each in letters
        ]
        print_table(table(["dead letter", "set aside", "group", "error", "message", "since then"], rows, whole=["dead letter"]))
    else:
        notes().print("no dead letters")


def show(reference: ReferenceArgument, data: DataOption = _DATA, as_json: JsonOption = False) -> None:
    """Show a dead letter with its headers and the beginning of its body."""
    for letter, original in asyncio.run(_find(data, reference)):
        if as_json:
            print_json_line({**_as_json(letter), "headers": _headers(original), "body": _body(original)})
            continue
        facts = [(name, str(value)) for name, value in _as_json(letter).items() if value is not None]
        print_table(table(["", ""], [(name, safe(value)) for name, value in facts]))
        print_table(table(["header", "value"], [(safe(name), safe(value)) for name, value in _headers(original).items()]))
        say(safe(_body(original)))


def redrive(
    reference: Annotated[str | None, typer.Argument(metavar="[REF]", help="topic/partition/offset, as listed.", show_default=False)] = None,
    topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="All that was set aside from this topic, but the quarantined.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="With --topic: at most so many a second.")] = 20.0,
    force: Annotated[bool, typer.Option("--force", help="Also a record that came back after three redrives.")] = False,
    data: DataOption = _DATA,
    as_json: JsonOption = False,
) -> None:
    """Put a record back on its topic, as it was and under its own ids; or all of a topic, at a pace that its consumers bear."""
    if (reference is None) == (topic is None):
        raise typer.BadParameter("write either a reference as `threadline dlq list` shows it, or --topic")
    if topic is not None and force:
        raise typer.BadParameter("--force takes one reference: a whole topic leaves what is in quarantine where it is")
    if topic is not None:
        _refuse_unknown(topic)
        asyncio.run(_redrive_topic(data, topic, 1.0 / rate, as_json=as_json))
    elif reference is not None:
        _print_done(asyncio.run(_redrive(data, reference, force=force)), "redriven", as_json=as_json)


def discard(reference: ReferenceArgument, data: DataOption = _DATA, as_json: JsonOption = False) -> None:
    """Give a record up for good; the audit counts it as discarded."""
    _print_done(asyncio.run(_discard(data, reference)), "discarded", as_json=as_json)


def _refuse_unknown(topic: str | None) -> None:
    if topic is not None and topic not in topics.ALL:
        raise typer.BadParameter(f"no topic {topic!r}: there are {', '.join(topics.ALL)}", param_hint="--topic")


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the verbs work on."""

    letters: DeadLetters
    outcomes: OutcomeStore

    async def record_discarded(self, letter: Letter) -> None:
        """Every event of an intake ends in one outcome, a discarded one too."""
        outcome = outcome_by_headers(letter.record, "discarded", letter.why.error_class, datetime.now(UTC))
        if outcome is not None:
            await self.outcomes.record([outcome])


@asynccontextmanager
async def _desk(data: Path) -> AsyncIterator[_Desk]:
    settings = folder_settings(data)
    async with opened_bus(settings) as bus, opened_database(settings) as database:
        kept = dead_letter_notes_of(database)
        await kept.migrate()
        await migrate(database)
        letters = DeadLetters(bus, kept, open_blobs(settings.blobs.url), lambda: datetime.now(UTC))
        yield _Desk(letters, stores_of(database).timeline)


async def _list(data: Path, chosen: tuple[str, ...], *, settled: bool) -> list[Letter]:
    async with _desk(data) as desk:
        return [letter for topic in chosen async for letter in desk.letters.of_topic(topic, settled=settled)]


async def _find(data: Path, reference: str) -> list[tuple[Letter, RawRecord]]:
    async with _desk(data) as desk:
        found = await desk.letters.find(read_reference(reference))
        return [(letter, await desk.letters.original(letter)) for letter in found]


async def _redrive(data: Path, reference: str, *, force: bool) -> Letter:
    async with _desk(data) as desk:
        return await desk.letters.redrive(read_reference(reference), force=force)


async def _redrive_topic(data: Path, topic: str, pause: float, *, as_json: bool) -> None:
    async with _desk(data) as desk:
        async for letter in desk.letters.redrive_topic(topic):
            _print_done(letter, "redriven", as_json=as_json)
            await asyncio.sleep(pause)


async def _discard(data: Path, reference: str) -> Letter:
    async with _desk(data) as desk:
        return await desk.letters.discard(read_reference(reference), desk.record_discarded)


def _print_done(letter: Letter, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json_line({"reference": spell_reference(letter.origin), "done": done})
    else:
        say(f"{spell_reference(letter.origin)} {done}")


def _as_json(letter: Letter) -> JsonObject:
    return {
        "reference": spell_reference(letter.origin),
        "group": letter.group,
        "error": letter.why.error_class,
        "message": letter.why.message,
        "attempts": letter.why.attempts,
        "first_at": letter.first_at,
        "last_at": letter.last_at,
        "service": letter.service,
        "account": _header(letter, "ce_account"),
        "redrives": letter.redrives,
        "quarantined": letter.quarantined,
        "blob": letter.blob,
        "note": _note(letter) or None,
    }


def _note(letter: Letter) -> str:
    if letter.note is not None:
        return f"{letter.note.action} {letter.note.at:%Y-%m-%d %H:%M}"
    return f"quarantined after {letter.redrives} redrives" if letter.quarantined else ""


def _header(letter: Letter, name: str) -> str:
    return letter.record.headers.get(name, b"").decode("utf-8", "replace")


def _headers(original: RawRecord) -> dict[str, str]:
    return {name: (value or b"")[:_SHOWN_BYTES].decode("utf-8", "replace") for name, value in original.headers}


def _body(original: RawRecord) -> str:
    return (original.value or b"")[:_SHOWN_BYTES].decode("utf-8", "replace")
