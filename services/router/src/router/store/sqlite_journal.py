"""On SQLite: the journal of intakes, and the joins of the audit. Shares nothing with the pipeline but the file."""

# ruff: noqa: S608 - only constants of this module go into the statements

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from threadline_runtime.sqlite import SqliteDatabase

from router.store.port import JournalRow
from router.store.sqlite_rows import ids_parameter, read_time, spell

__all__ = ["SqliteJournal"]

_IN = "IN (SELECT value FROM json_each(?))"
_PAGE = 500
_COLUMNS = "intake_id, account_id, channel, brand, received_at, event_count, origin, media_type, blob, size, outcome, reason"
_STORED = f"SELECT made_intake, made_index, 'stored' FROM router_entries WHERE made_intake {_IN} AND filed = 1"
_OTHERS = f"SELECT intake_id, intake_index, outcome || coalesce('(' || reason || ')', '') FROM router_outcomes WHERE intake_id {_IN}"
# An entry is accounted for where any intake that brought it is in the journal.
_UNJOURNALLED_ENTRIES = (
    "SELECT e.account_id, count(*) FROM router_entries e WHERE e.made_intake IS NOT NULL AND e.filed = 1 AND e.direction = 'inbound'"
    " AND e.received_at >= ? AND e.received_at < ? AND (? IS NULL OR e.account_id = ?)"
    " AND NOT EXISTS (SELECT 1 FROM router_journal j WHERE j.intake_id = e.made_intake)"
    " AND NOT EXISTS (SELECT 1 FROM json_each(e.doc, '$.intakes') i JOIN router_journal j ON j.intake_id = i.value ->> 'intake_id')"
    " GROUP BY e.account_id"
)
_UNJOURNALLED_OUTCOMES = (
    "SELECT o.account_id, count(DISTINCT o.event_id) FROM router_outcomes o WHERE o.outcome <> 'duplicate' AND o.at >= ? AND o.at < ?"
    " AND (? IS NULL OR o.account_id = ?)"
    " AND NOT EXISTS (SELECT 1 FROM router_outcomes p JOIN router_journal j ON j.intake_id = p.intake_id WHERE p.event_id = o.event_id)"
    " GROUP BY o.account_id"
)


class SqliteJournal:
    """The journal's tables."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def add(self, rows: Sequence[JournalRow]) -> None:
        """Keep each; the first of an id stands."""
        statement = f"INSERT INTO router_journal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

        def run(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, [_values(row) for row in rows])
            inline = [(row.intake_id, row.raw) for row in rows if row.raw is not None]
            connection.executemany("INSERT INTO router_payloads (intake_id, raw) VALUES (?, ?) ON CONFLICT DO NOTHING", inline)

        await self._database.write(run)

    async def intake(self, intake_id: str) -> JournalRow | None:
        """One intake with its payload or the blob that holds it."""

        def run(connection: sqlite3.Connection) -> tuple[sqlite3.Row | None, bytes | None]:
            row = connection.execute(f"SELECT {_COLUMNS} FROM router_journal WHERE intake_id = ?", (intake_id,)).fetchone()
            raw = connection.execute("SELECT raw FROM router_payloads WHERE intake_id = ?", (intake_id,)).fetchone()
            return row, raw[0] if raw else None

        row, raw = await self._database.read(run)
        return _row(row, raw, {}) if row else None

    async def audited(self, since: datetime, before: datetime, account_id: str | None) -> AsyncIterator[Sequence[JournalRow]]:
        """Pages of intakes with the outcomes of their events."""
        last: tuple[str, str] = (spell(since) or "", "")
        statement = (
            f"SELECT {_COLUMNS} FROM router_journal WHERE (received_at, intake_id) > (?, ?) AND received_at < ?"
            " AND (? IS NULL OR account_id = ?) ORDER BY received_at, intake_id LIMIT ?"
        )

        def page(connection: sqlite3.Connection) -> tuple[list[sqlite3.Row], dict[str, dict[int, str]]]:
            rows = connection.execute(statement, (*last, spell(before), account_id, account_id, _PAGE)).fetchall()
            ids = ids_parameter(row[0] for row in rows)
            outcomes: dict[str, dict[int, str]] = defaultdict(dict)
            for source in (_OTHERS, _STORED):  # an entry outweighs an earlier dead letter
                for intake, index, outcome in connection.execute(source, (ids,)):
                    outcomes[intake][index] = outcome
            return rows, outcomes

        while True:
            rows, outcomes = await self._database.read(page)
            if not rows:
                return
            yield [_row(row, None, outcomes.get(row[0], {})) for row in rows]
            last = (rows[-1][4], rows[-1][0])

    async def unjournalled(self, since: datetime, before: datetime, account_id: str | None) -> AsyncIterator[Mapping[str, int]]:
        """Counts by account of what no journalled intake explains: entries, then outcomes."""
        values = (spell(since), spell(before), account_id, account_id)

        def counted(connection: sqlite3.Connection, statement: str) -> Mapping[str, int]:
            return dict(connection.execute(statement, values).fetchall())

        for statement in (_UNJOURNALLED_ENTRIES, _UNJOURNALLED_OUTCOMES):
            yield await self._database.read(partial(counted, statement=statement))


def _values(row: JournalRow) -> tuple[object, ...]:
    head = (row.intake_id, row.account_id, row.channel, row.brand, spell(row.received_at), row.event_count)
    return (*head, row.origin, row.media_type, row.blob, row.size, row.outcome, row.reason)


def _row(row: sqlite3.Row, raw: bytes | None, outcomes: Mapping[int, str]) -> JournalRow:
    intake, account, channel, brand, received, count, origin, media_type, blob, size, outcome, reason = row
    return JournalRow(
        intake, account, channel, brand, read_time(received), count, origin, media_type, raw, blob, size, outcome, reason, outcomes
    )
