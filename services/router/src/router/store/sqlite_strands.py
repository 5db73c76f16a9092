"""On SQLite: the copies of strands, and the summaries derived from them."""

# ruff: noqa: S608 - only constants of this module go into the statements

import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime

from threadline_events.timeline import Conversation
from threadline_runtime.sqlite import SqliteDatabase

from router.domain.documents import Strand
from router.store.port import ConversationQuery, SummaryHead
from router.store.sqlite_rows import ids_parameter, spell, text_of, writing

__all__ = ["StrandTables"]

_IN = "IN (SELECT value FROM json_each(?))"
_PAGE = 1000
_COPY = (
    "INSERT INTO router_strands (strand_id, owner, status, joins, version, doc) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (strand_id) DO UPDATE SET status = excluded.status, joins = excluded.joins, version = excluded.version,"
    " doc = excluded.doc WHERE version < excluded.version"
)
_SUMMARY = (
    "INSERT INTO router_summaries (conversation_id, brand, status, joined, snoozed_until, active_at, channels, version, doc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (conversation_id) DO UPDATE SET status = excluded.status, joined = excluded.joined,"
    " snoozed_until = excluded.snoozed_until, active_at = excluded.active_at, channels = excluded.channels, version = excluded.version,"
    " doc = excluded.doc WHERE version = excluded.version - 1"
)


class StrandTables:
    """Strands and summaries. Part of the store."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def strands(self, strand_ids: Iterable[str]) -> Mapping[str, Strand]:
        """The copies that there are."""
        found = await self._strands(f"SELECT doc FROM router_strands WHERE strand_id {_IN}", strand_ids)
        return {s.strand_id: s for s in found}

    async def strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """The copies of all strands of these contacts."""
        return await self._strands(f"SELECT doc FROM router_strands WHERE owner {_IN}", owners)

    async def open_strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """Of these the open ones."""
        return await self._strands(f"SELECT doc FROM router_strands WHERE owner {_IN} AND status = 'open'", owners)

    async def strands_joined_to(self, strand_ids: Iterable[str]) -> Sequence[Strand]:
        """These and those that join one of them."""
        statement = f"SELECT doc FROM router_strands WHERE strand_id {_IN} OR (joins IS NOT NULL AND joins {_IN})"
        parameter = ids_parameter(strand_ids)
        rows = await self._database.look(lambda connection: connection.execute(statement, (parameter, parameter)).fetchall())
        return [Strand.model_validate_json(doc) for (doc,) in rows]

    async def _strands(self, statement: str, ids: Iterable[str]) -> list[Strand]:
        parameter = ids_parameter(ids)
        rows = await self._database.look(lambda connection: connection.execute(statement, (parameter,)).fetchall())
        return [Strand.model_validate_json(doc) for (doc,) in rows]

    async def write_strands(self, strands: Sequence[Strand]) -> None:
        """Write copies; the highest version stands."""
        rows = [(s.strand_id, s.owner, s.status, s.joins, s.version, text_of(s.to_json())) for s in strands]
        await self._database.write(writing(_COPY, rows))

    async def summaries(self, strand_ids: Iterable[str]) -> Mapping[str, Conversation]:
        """The summaries that there are."""
        parameter = ids_parameter(strand_ids)
        statement = f"SELECT doc FROM router_summaries WHERE conversation_id {_IN}"
        rows = await self._database.look(lambda connection: connection.execute(statement, (parameter,)).fetchall())
        found = [Conversation.model_validate_json(doc) for (doc,) in rows]
        return {c.conversation_id: c for c in found}

    async def summary_heads(self, strand_ids: Iterable[str]) -> Mapping[str, SummaryHead]:
        """The heads of these."""
        parameter = ids_parameter(strand_ids)
        statement = f"SELECT conversation_id, version, doc ->> '$.contact_id' FROM router_summaries WHERE conversation_id {_IN}"
        rows = await self._database.look(lambda connection: connection.execute(statement, (parameter,)).fetchall())
        return {i: SummaryHead(version, contact_id) for i, version, contact_id in rows}

    async def write_summaries(self, summaries: Sequence[Conversation]) -> frozenset[str]:
        """Write each where the stored version is one below."""
        rows = [(c.conversation_id, c.version, _summary_row(c)) for c in summaries]

        def run(connection: sqlite3.Connection) -> frozenset[str]:
            return frozenset(i for i, _, row in rows if connection.execute(_SUMMARY, row).rowcount == 1)

        return await self._database.write(run)

    async def conversations(self, query: ConversationQuery) -> Sequence[Conversation]:
        """A page of the list."""
        clauses, values = ["joined IS NULL"], list[str | int]()
        for column, wanted in (("brand", query.brands), ("conversation_id", query.ids)):
            if wanted is not None:
                clauses.append(f"{column} {_IN}")
                values.append(ids_parameter(wanted))
        if query.status is not None:
            clauses.append("status = ?")
            values.append(query.status)
        if query.channel is not None:
            clauses.append("instr(channels, ?) > 0")
            values.append(f",{query.channel},")
        if query.after is not None:
            clauses.append("(active_at, conversation_id) < (?, ?)")
            values += [spell(query.after[0]) or "", query.after[1]]
        where = " AND ".join(clauses)
        statement = f"SELECT doc FROM router_summaries WHERE {where} ORDER BY active_at DESC, conversation_id DESC LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(statement, (*values, query.limit)).fetchall())
        return [Conversation.model_validate_json(doc) for (doc,) in rows]

    async def snoozed_until(self, until: datetime, limit: int) -> Sequence[str]:
        """Ids of summaries that say snoozed and whose time has come."""
        statement = "SELECT conversation_id FROM router_summaries WHERE snoozed_until <= ? LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(statement, (spell(until), limit)).fetchall())
        return [i for (i,) in rows]

    async def all_strand_ids(self) -> AsyncIterator[Sequence[str]]:
        """Every strand's id, in pages."""
        last = ""
        while True:
            after = last
            rows = await self._database.read(
                lambda connection, after=after: connection.execute(  # type: ignore[misc]
                    "SELECT strand_id FROM router_strands WHERE strand_id > ? ORDER BY strand_id LIMIT ?", (after, _PAGE)
                ).fetchall()
            )
            if not rows:
                return
            yield [i for (i,) in rows]
            last = rows[-1][0]


def _summary_row(c: Conversation) -> tuple[object, ...]:
    channels = f",{','.join(c.channels)},"
    snoozed = spell(c.snoozed_until) if c.status == "snoozed" else None
    doc = text_of(c.to_json())
    return (c.conversation_id, c.brand, c.status, c.joined, snoozed, spell(c.last_activity_at), channels, c.version, doc)
