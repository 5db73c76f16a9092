"""On SQLite: the documents that decide (contacts, edges) and their outboxes.

An outbox's items lie in rows of their own, written in the same transaction as their document: to callers it is one document.
"""

# ruff: noqa: S608 - only constants of this module go into the statements

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from threadline_runtime.sqlite import SqliteDatabase

from router.domain.documents import Contact, Edge, OutboxItem
from router.store.port import Collection, ContactChange, EdgeChange, Owed, Stored, StoredEdge
from router.store.sqlite_rows import ids_parameter, spell, text_of, writing

__all__ = ["Deciders"]

_IN = "IN (SELECT value FROM json_each(?))"
_ITEM = "INSERT INTO router_outbox (collection, owner, number, put_at, doc) VALUES (?, ?, ?, ?, ?)"


def _outboxes(connection: sqlite3.Connection, collection: Collection, ids: str) -> Mapping[str, tuple[OutboxItem, ...]]:
    rows = connection.execute(
        f"SELECT owner, doc FROM router_outbox WHERE collection = ? AND owner {_IN} ORDER BY owner, number", (collection, ids)
    )
    found: dict[str, list[OutboxItem]] = defaultdict(list)
    for owner, doc in rows:
        found[owner].append(OutboxItem.model_validate_json(doc))
    return {owner: tuple(items) for owner, items in found.items()}


class Deciders:
    """Contacts and edges. Part of the store."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def contacts(self, contact_ids: Iterable[str]) -> Mapping[str, Stored]:
        """Those that there are, with their outboxes."""
        ids = ids_parameter(contact_ids)

        def run(connection: sqlite3.Connection) -> tuple[list[tuple[str, str]], Mapping[str, tuple[OutboxItem, ...]]]:
            rows = connection.execute(f"SELECT contact_id, doc FROM router_contacts WHERE contact_id {_IN}", (ids,)).fetchall()
            return rows, _outboxes(connection, "contacts", ids) if rows else {}

        rows, outboxes = await self._database.look(run)
        return {i: Stored(Contact.model_validate_json(doc), outboxes.get(i, ())) for i, doc in rows}

    async def commit_contacts(self, changes: Sequence[ContactChange]) -> frozenset[str]:
        """Compare-and-set each on its version."""
        prepared = [(c.expected, c.contact, text_of(c.contact.to_json()), spell(c.item.at), text_of(c.item.to_json())) for c in changes]

        def run(connection: sqlite3.Connection) -> frozenset[str]:
            won = []
            items = []
            for (expected, contact, doc, at, item), change in zip(prepared, changes, strict=True):
                if expected == 0:
                    cursor = connection.execute(
                        "INSERT INTO router_contacts (contact_id, version, doc) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                        (contact.contact_id, contact.version, doc),
                    )
                else:
                    cursor = connection.execute(
                        "UPDATE router_contacts SET version = ?, doc = ? WHERE contact_id = ? AND version = ?",
                        (contact.version, doc, contact.contact_id, expected),
                    )
                if cursor.rowcount == 1:
                    won.append(contact.contact_id)
                    items.append(("contacts", contact.contact_id, change.item.number, at, item))
            connection.executemany(_ITEM, items)
            return frozenset(won)

        return await self._database.write(run)

    async def edges(self, link_ids: Iterable[str]) -> Mapping[str, StoredEdge]:
        """Those that there are, with their outboxes."""
        ids = ids_parameter(link_ids)

        def run(connection: sqlite3.Connection) -> tuple[list[tuple[str, str]], Mapping[str, tuple[OutboxItem, ...]]]:
            rows = connection.execute(f"SELECT link_id, doc FROM router_edges WHERE link_id {_IN}", (ids,)).fetchall()
            return rows, _outboxes(connection, "edges", ids) if rows else {}

        rows, outboxes = await self._database.look(run)
        return {i: StoredEdge(Edge.model_validate_json(doc), outboxes.get(i, ())) for i, doc in rows}

    async def edges_of(self, contact_ids: Iterable[str]) -> Sequence[Edge]:
        """Every edge with an end among the contacts."""
        ids = ids_parameter(contact_ids)
        statement = f"SELECT doc FROM router_edges WHERE one {_IN} UNION SELECT doc FROM router_edges WHERE other {_IN}"
        rows = await self._database.look(lambda connection: connection.execute(statement, (ids, ids)).fetchall())
        return [Edge.model_validate_json(doc) for (doc,) in rows]

    async def commit_edge(self, change: EdgeChange) -> bool:
        """Compare-and-set on the version."""
        edge, item = change.edge, change.item
        doc, kept = text_of(edge.to_json()), text_of(item.to_json())

        def run(connection: sqlite3.Connection) -> bool:
            if change.expected == 0:
                cursor = connection.execute(
                    "INSERT INTO router_edges (link_id, one, other, version, doc) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (edge.link_id, edge.one_contact, edge.other_contact, edge.version, doc),
                )
            else:
                cursor = connection.execute(
                    "UPDATE router_edges SET version = ?, doc = ? WHERE link_id = ? AND version = ?",
                    (edge.version, doc, edge.link_id, change.expected),
                )
            if cursor.rowcount != 1:
                return False
            connection.execute(_ITEM, ("edges", edge.link_id, item.number, spell(item.at), kept))
            return True

        return await self._database.write(run)

    async def pull(self, collection: Collection, items: Sequence[tuple[str, int]]) -> None:
        """Take items out of outboxes."""
        rows = [(collection, owner, number) for owner, number in items]
        statement = "DELETE FROM router_outbox WHERE collection = ? AND owner = ? AND number = ?"
        await self._database.write(writing(statement, rows))

    async def owing(self, before: datetime, limit: int) -> Sequence[Owed]:
        """Documents that still owe an item put in before a time."""
        statement = "SELECT DISTINCT collection, owner FROM router_outbox WHERE put_at < ? LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(statement, (spell(before), limit)).fetchall())
        return [Owed(collection, owner) for collection, owner in rows]
