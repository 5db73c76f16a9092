"""On SQLite: outcomes, what waits for its target, what a desk's reference means, and suggested links."""

# ruff: noqa: S608 - only constants of this module go into the statements

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from threadline_runtime.sqlite import SqliteDatabase

from router.domain.documents import IntakeRef, Suggestion
from router.store.port import Outcome, Waiting
from router.store.sqlite_rows import ids_parameter, read_time, spell, text_of, writing

__all__ = ["OutcomeTables"]

_IN = "IN (SELECT value FROM json_each(?))"
_RECORD = (
    "INSERT INTO router_outcomes (intake_id, intake_index, event_id, account_id, channel, outcome, reason, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, at = excluded.at"
    " WHERE (outcome = 'waiting' AND excluded.outcome IN ('applied', 'duplicate', 'ignored')) OR outcome = 'dead-lettered'"
)
_OUTCOME = "intake_id, intake_index, event_id, account_id, channel, outcome, reason, at"
_WAIT = (
    "INSERT INTO router_waiting (target, event_id, intake_id, intake_index, kind, account_id, channel, since, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_WAITING = "target, event_id, intake_id, intake_index, kind, account_id, channel, since, body"
_NO_MORE = "DELETE FROM router_waiting WHERE target = ? AND event_id = ? AND intake_id = ? AND intake_index = ?"


def _waiting_key(w: Waiting) -> tuple[str, str, str, int]:
    return (w.target, w.event_id, w.made.intake_id if w.made else "", w.made.index if w.made else 0)


def _outcome(row: sqlite3.Row) -> Outcome:
    intake, index, event, account, channel, outcome, reason, at = row
    return Outcome(IntakeRef(intake_id=intake, index=index), event, account, channel, outcome, reason, read_time(at))


def _waiting(row: sqlite3.Row) -> Waiting:
    target, event, intake, index, kind, account, channel, since, body = row
    made = IntakeRef(intake_id=intake, index=index) if intake else None
    return Waiting(target, event, kind, body, read_time(since), made, account, channel)


class OutcomeTables:
    """Outcomes, waiting events, desk references, suggestions. Part of the store."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def outcomes(self, intakes: Iterable[IntakeRef]) -> Mapping[IntakeRef, Outcome]:
        """Those recorded."""
        wanted = set(intakes)
        statement = f"SELECT {_OUTCOME} FROM router_outcomes WHERE intake_id {_IN}"
        rows = await self._rows(statement, {w.intake_id for w in wanted})
        found = [_outcome(row) for row in rows]
        return {o.intake: o for o in found if o.intake in wanted}

    async def outcomes_by_event(self, event_ids: Iterable[str]) -> Mapping[str, Sequence[Outcome]]:
        """Those recorded, by event."""
        found: dict[str, list[Outcome]] = defaultdict(list)
        for row in await self._rows(f"SELECT {_OUTCOME} FROM router_outcomes WHERE event_id {_IN}", event_ids):
            outcome = _outcome(row)
            found[outcome.event_id].append(outcome)
        return found

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record each; the first stands but for waiting and dead letters."""
        rows = [
            (o.intake.intake_id, o.intake.index, o.event_id, o.account_id, o.channel, o.outcome, o.reason, spell(o.at)) for o in outcomes
        ]
        await self._database.write(writing(_RECORD, rows))

    async def wait(self, waiting: Sequence[Waiting]) -> None:
        """Keep each under its target."""
        rows = [(*_waiting_key(w), w.kind, w.account_id, w.channel, spell(w.since), w.body) for w in waiting]
        await self._database.write(writing(_WAIT, rows))

    async def waiting_for(self, targets: Iterable[str]) -> Sequence[Waiting]:
        """What waits for any of the targets, oldest first."""
        rows = await self._rows(f"SELECT {_WAITING} FROM router_waiting WHERE target {_IN} ORDER BY since, event_id", targets)
        return [_waiting(row) for row in rows]

    async def wait_no_more(self, waiting: Sequence[Waiting]) -> None:
        """Take them away."""
        rows = [_waiting_key(w) for w in waiting]
        await self._database.write(writing(_NO_MORE, rows))

    async def waiting_since(self, before: datetime, limit: int) -> Sequence[Waiting]:
        """What has waited since before a time."""
        statement = f"SELECT {_WAITING} FROM router_waiting WHERE since < ? ORDER BY since LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(statement, (spell(before), limit)).fetchall())
        return [_waiting(row) for row in rows]

    async def put_reference(self, desk_id: str, reference: str, conversation_id: str) -> None:
        """The first stands."""
        statement = "INSERT INTO router_desk_references (desk_id, reference, conversation_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.write(writing(statement, [(desk_id, reference, conversation_id)]))

    async def reference(self, desk_id: str, reference: str) -> str | None:
        """The conversation, None where it is not known yet."""
        statement = "SELECT conversation_id FROM router_desk_references WHERE desk_id = ? AND reference = ?"
        row = await self._database.read(lambda connection: connection.execute(statement, (desk_id, reference)).fetchone())
        return row[0] if row else None

    async def suggest(self, suggestion: Suggestion) -> None:
        """Keep it unless one of its id is there."""
        row = (suggestion.link_id, suggestion.brand, text_of(suggestion.to_json()))
        statement = "INSERT INTO router_suggestions (link_id, brand, doc) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.write(writing(statement, [row]))

    async def suggestions(self, brands: frozenset[str] | None, after: str | None, limit: int) -> Sequence[Suggestion]:
        """A page, by link id."""
        brand = "" if brands is None else f" AND brand {_IN}"
        values = (after or "", *(() if brands is None else (ids_parameter(brands),)), limit)
        statement = f"SELECT doc FROM router_suggestions WHERE link_id > ?{brand} ORDER BY link_id LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(statement, values).fetchall())
        return [Suggestion.model_validate_json(doc) for (doc,) in rows]

    async def drop_suggestion(self, link_id: str) -> None:
        """Take it away."""
        await self._database.write(writing("DELETE FROM router_suggestions WHERE link_id = ?", [(link_id,)]))

    async def _rows(self, statement: str, ids: Iterable[str]) -> list[sqlite3.Row]:
        parameter = ids_parameter(ids)
        return await self._database.look(lambda connection: connection.execute(statement, (parameter,)).fetchall())
