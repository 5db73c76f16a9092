"""On SQLite: entries and claims, the names they bear and mention, and how timelines are read."""

# ruff: noqa: S608 - only constants of this module go into the statements

import heapq
import itertools
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from threadline_events.states import DeliveryRank
from threadline_runtime.sqlite import SqliteDatabase

from router.domain.documents import Claim, EntryDocument
from router.store.entry_facts import answerable_until, attachment_hashes, holds, standing
from router.store.port import EntryPage, EntryRef, SentCounts
from router.store.sqlite_rows import ids_parameter, read_time, spell, text_of

__all__ = ["EntryTables"]

_IN = "IN (SELECT value FROM json_each(?))"
_BEARS, _MENTIONS = 0, 1
_REF = (
    "e.message_id, e.brand, e.party, e.party_identity, e.filed, e.direction, e.strand_id, e.received_at,"
    " CASE WHEN e.filed = 0 THEN e.doc END"
)
_COLUMNS = (
    "message_id, brand, filed, shown, party, party_identity, strand_id, direction, account_id, received_at, occurred_at, ord,"
    " made_intake, made_index, answerable_until, rank, version, doc"
)
_VALUES = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
_CLAIM = f"INSERT INTO router_entries ({_COLUMNS}) VALUES ({_VALUES}) ON CONFLICT DO NOTHING"
_SET = ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS.split(", ") if c != "message_id")
_FILE = f"INSERT INTO router_entries ({_COLUMNS}) VALUES ({_VALUES}) ON CONFLICT (message_id) DO UPDATE SET {_SET} WHERE filed = 0"
_UPDATE = "UPDATE router_entries SET rank = ?, shown = ?, version = ?, doc = ? WHERE message_id = ? AND version = ? AND filed = 1"
_NAME = "INSERT OR IGNORE INTO router_entry_names (name, role, message_id) VALUES (?, ?, ?)"
_ATTACHMENT = "INSERT OR IGNORE INTO router_entry_attachments (sha256, brand, message_id) VALUES (?, ?, ?)"
_SEARCHED = 4000
_SEARCHED_BYTES = 32 * 1024 * 1024
_A_FEW = 8
_BEARERS = 200


def _ref(row: tuple[str, str, str, str, int, str, str | None, str | None, str | None]) -> EntryRef:
    received = read_time(row[7]) if row[7] else None
    why = Claim.model_validate_json(row[8]).why if row[8] else ()
    return EntryRef(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6], received, why)


def _ref_of_claim(c: Claim) -> EntryRef:
    return EntryRef(c.message_id, c.brand, c.party, c.party_identity, False, "inbound", None, None, c.why)


def _claim_row(c: Claim) -> tuple[object, ...]:
    doc = text_of(c.to_json())
    return (c.message_id, c.brand, 0, 0, c.party, c.party_identity, None, "inbound", *(None,) * 8, 0, doc)


def _entry_row(e: EntryDocument) -> tuple[object, ...]:
    rank = int(e.attempts[-1].rank) if e.attempts else None
    made = (e.made.intake_id, e.made.index) if e.made else (None, None)
    times = (spell(e.received_at), spell(e.occurred_at), e.order)
    head = (e.message_id, e.brand, 1, int(e.shown), e.party, e.party_identity, e.strand_id, e.direction, e.account_id)
    return (*head, *times, *made, spell(answerable_until(e)), rank, e.version, text_of(e.to_json()))


def _names(one: EntryDocument | Claim) -> list[tuple[str, int, str]]:
    return [(n, _BEARS, one.message_id) for n in one.names] + [(n, _MENTIONS, one.message_id) for n in one.mentions]


class EntryTables:
    """Entries and claims. Part of the store."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, EntryRef]:
        """Insert each where nothing has its id."""
        prepared = [(_claim_row(c), _names(c), c) for c in claims]

        def run(connection: sqlite3.Connection) -> list[EntryRef]:
            inserted, lost = [], []
            for row, names, claim in prepared:
                if connection.execute(_CLAIM, row).rowcount == 1:
                    connection.executemany(_NAME, names)
                    inserted.append(_ref_of_claim(claim))
                else:
                    lost.append(claim.message_id)
            return inserted + (_refs(connection, ids_parameter(lost)) if lost else [])

        return {r.message_id: r for r in await self._database.write(run)}

    async def refs(self, message_ids: Iterable[str]) -> Mapping[str, EntryRef]:
        """Entries and claims by id, without their content."""
        ids = ids_parameter(message_ids)
        return {r.message_id: r for r in await self._database.look(lambda connection: _refs(connection, ids))}

    async def filed(self, message_ids: Iterable[str]) -> frozenset[str]:
        """Of these ids those of filed entries."""
        statement, ids = f"SELECT message_id FROM router_entries WHERE filed = 1 AND message_id {_IN}", ids_parameter(message_ids)
        return frozenset(i for (i,) in await self._database.look(lambda connection: connection.execute(statement, (ids,)).fetchall()))

    async def named(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """Entries and claims by a name they bear."""
        return await self._by_name(names, _BEARS)

    async def mentioning(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """Entries and claims that mention a name."""
        return await self._by_name(names, _MENTIONS)

    async def _by_name(self, names: Iterable[str], role: int) -> Mapping[str, Sequence[EntryRef]]:
        # A thread's first mail is mentioned by all later ones, and a broken sender gives all his mails one name: no more than a few
        # are looked at, of those who bear a name the oldest of a bounded number.
        order, limit = ("e.rowid", _BEARERS) if role == _BEARS else ("n.message_id", _A_FEW)
        statement = (
            f"SELECT {_REF} FROM (SELECT message_id FROM router_entry_names WHERE name = ? AND role = ? LIMIT {limit}) n"
            f" CROSS JOIN router_entries e USING (message_id) ORDER BY {order} LIMIT {_A_FEW}"
        )
        wanted = list(names)

        def run(connection: sqlite3.Connection) -> dict[str, list[EntryRef]]:
            found = {name: [_ref(row) for row in connection.execute(statement, (name, role))] for name in wanted}
            return {name: refs for name, refs in found.items() if refs}

        return await self._database.look(run)

    async def entries(self, message_ids: Iterable[str]) -> Mapping[str, EntryDocument]:
        """Filed entries by id."""
        ids = ids_parameter(message_ids)
        return {e.message_id: e for e in await self._database.look(lambda connection: _entries(connection, ids))}

    async def file(self, entries: Sequence[EntryDocument]) -> Mapping[str, EntryDocument]:
        """File each that is not filed yet."""
        prepared = [(_entry_row(e), e) for e in entries]

        def run(connection: sqlite3.Connection) -> dict[str, EntryDocument]:
            stored = {}
            for row, entry in prepared:
                if connection.execute(_FILE, row).rowcount == 1:
                    stored[entry.message_id] = entry
                    connection.executemany(_NAME, _names(entry))
                    _link_attachments(connection, entry)
            lost = [e.message_id for e in entries if e.message_id not in stored]
            stored.update({e.message_id: e for e in _entries(connection, ids_parameter(lost))} if lost else {})
            return stored

        return await self._database.write(run)

    async def update_entries(self, entries: Sequence[EntryDocument]) -> frozenset[str]:
        """Replace each where the stored version is one below its own."""
        prepared = [(_entry_row(e), e) for e in entries]

        def run(connection: sqlite3.Connection) -> frozenset[str]:
            won = set()
            for row, entry in prepared:
                values = (row[15], row[3], entry.version, row[17], entry.message_id, entry.version - 1)
                if connection.execute(_UPDATE, values).rowcount == 1:
                    won.add(entry.message_id)
                    connection.executemany(_NAME, _names(entry))
                    _link_attachments(connection, entry)
            return frozenset(won)

        return await self._database.write(run)

    async def entry_page(self, page: EntryPage) -> Sequence[EntryDocument]:
        """A page of shown entries, merged from a limited read of each strand or contact."""
        column, owners = ("strand_id", page.strands) if page.strands is not None else ("party", page.parties or frozenset())
        direction, sign = ("DESC", "<") if page.descending else ("ASC", ">")
        after = "" if page.after is None else f" AND (occurred_at, ord, message_id) {sign} (?, ?, ?)"
        values = () if page.after is None else (spell(page.after[0]), *page.after[1:])
        statement = (
            f"SELECT occurred_at, ord, message_id, doc FROM router_entries WHERE {column} = ? AND filed = 1 AND shown = 1{after}"
            f" ORDER BY occurred_at {direction}, ord {direction}, message_id {direction} LIMIT ?"
        )

        def run(connection: sqlite3.Connection) -> list[str]:
            lists = [connection.execute(statement, (owner, *values, page.limit)).fetchall() for owner in owners]
            merged = heapq.merge(*lists, key=lambda row: row[:3], reverse=page.descending)
            return [row[3] for row, _ in zip(merged, range(page.limit), strict=False)]

        return [EntryDocument.model_validate_json(doc) for doc in await self._database.read(run)]

    async def latest_answerable(self, strand_ids: Iterable[str], at: datetime, limit: int) -> Sequence[EntryDocument]:
        """The newest of the strands that their own contacts wrote and that can be answered."""
        statement = (
            "SELECT doc FROM router_entries WHERE strand_id = ? AND answerable_until IS NOT NULL AND answerable_until > ?"
            " ORDER BY received_at DESC LIMIT ?"
        )
        moment, ids = spell(at), list(strand_ids)
        rows = await self._database.read(
            lambda connection: [row for i in ids for row in connection.execute(statement, (i, moment, limit)).fetchall()]
        )
        found = [EntryDocument.model_validate_json(doc) for (doc,) in rows]
        return sorted(found, key=lambda e: (e.received_at, e.order, e.message_id), reverse=True)[:limit]

    async def search(self, words: str, brands: frozenset[str] | None, limit: int) -> Sequence[str]:
        """Ids of strands with an entry that holds the words; looks at the newest few thousand candidates."""
        wanted = words.casefold()
        asked = [None] if brands is None else sorted(brands)

        def run(connection: sqlite3.Connection) -> list[str]:
            found: dict[str, None] = {}
            for strand_id, doc in _newest(connection, asked):
                if strand_id not in found and _may_hold(doc, wanted) and holds(EntryDocument.model_validate_json(doc), wanted):
                    found[strand_id] = None
                if len(found) >= limit:
                    break
            return list(found)

        return await self._database.read(run)

    async def attachment_readers(self, sha256: str) -> frozenset[str]:
        """Brands with an entry that names the attachment."""
        statement = (
            "SELECT DISTINCT a.brand FROM router_entry_attachments a JOIN router_entries e USING (message_id)"
            " WHERE a.sha256 = ? AND e.filed = 1 AND e.shown = 1"
        )
        rows = await self._database.read(lambda connection: connection.execute(statement, (sha256,)).fetchall())
        return frozenset(brand for (brand,) in rows)

    async def sent_counts(self, since: datetime, account_id: str | None) -> Mapping[str, SentCounts]:
        """What each account sent since a time, by where it stands now."""
        statement = (
            "SELECT account_id, rank, count(*) FROM router_entries WHERE direction = 'outbound' AND rank IS NOT NULL AND received_at >= ?"
            " AND (? IS NULL OR account_id = ?) GROUP BY account_id, rank"
        )
        values = (spell(since), account_id, account_id)
        rows = await self._database.read(lambda connection: connection.execute(statement, values).fetchall())
        counted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for account, rank, count in rows:
            counted[account]["accepted"] += count
            counted[account][standing(DeliveryRank(rank))] += count
        return {account: SentCounts(**counts) for account, counts in counted.items()}


def _refs(connection: sqlite3.Connection, ids: str) -> list[EntryRef]:
    rows = connection.execute(f"SELECT {_REF} FROM router_entries e WHERE e.message_id {_IN}", (ids,))
    return [_ref(row) for row in rows]


def _entries(connection: sqlite3.Connection, ids: str) -> list[EntryDocument]:
    rows = connection.execute(f"SELECT doc FROM router_entries WHERE filed = 1 AND message_id {_IN}", (ids,))
    return [EntryDocument.model_validate_json(doc) for (doc,) in rows]


def _may_hold(doc: str, wanted: str) -> bool:
    """Whether a document is worth reading; JSON spells quotes and the like otherwise, and no other letters are casefolded alike."""
    if not wanted.isascii():
        return True
    folded = doc.casefold()
    return wanted in folded or json.dumps(wanted)[1:-1] in folded


def _newest(connection: sqlite3.Connection, brands: Sequence[str | None]) -> Iterator[tuple[str, str]]:
    """Strand and document of shown entries of the brands (None: of all), newest first, as many as others can wait for."""
    lists = []
    for brand in brands:
        where = "" if brand is None else " AND brand = ?"
        statement = f"SELECT rowid, strand_id, doc FROM router_entries WHERE filed = 1 AND shown = 1{where} ORDER BY rowid DESC LIMIT ?"
        lists.append(connection.execute(statement, (_SEARCHED,) if brand is None else (brand, _SEARCHED)))
    size = 0
    for _, strand_id, doc in itertools.islice(heapq.merge(*lists, key=lambda row: row[0], reverse=True), _SEARCHED):
        if strand_id is not None:
            yield strand_id, doc
        size += len(doc)
        if size > _SEARCHED_BYTES:
            return


def _link_attachments(connection: sqlite3.Connection, entry: EntryDocument) -> None:
    rows = [(sha256, entry.brand, entry.message_id) for sha256 in attachment_hashes(entry)]
    if rows:
        connection.executemany(_ATTACHMENT, rows)
