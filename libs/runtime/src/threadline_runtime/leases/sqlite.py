"""Leases on SQLite; each write touches one row, as on any store."""

import sqlite3
from collections.abc import Mapping

from threadline_runtime.leases.port import Lease, Sighting
from threadline_runtime.sqlite import SqliteDatabase

__all__ = ["SqliteLeaseStore"]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS runtime_beats (holder TEXT PRIMARY KEY, beat INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS runtime_leases (name TEXT PRIMARY KEY, holder TEXT, token INTEGER NOT NULL) WITHOUT ROWID",
)


class SqliteLeaseStore:
    """The `LeaseStore` port."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def migrate(self) -> None:
        """Make the tables that are not there."""
        await self._database.write(lambda connection: [connection.execute(statement) for statement in _TABLES])

    async def beat(self, holder: str, beat: int) -> None:
        """See the port."""
        statement = "INSERT INTO runtime_beats (holder, beat) VALUES (?, ?) ON CONFLICT DO UPDATE SET beat = excluded.beat"
        await self._database.write(lambda connection: connection.execute(statement, (holder, beat)).rowcount)

    async def silence(self, holder: str) -> None:
        """See the port."""
        await self._database.write(lambda connection: connection.execute("DELETE FROM runtime_beats WHERE holder = ?", (holder,)).rowcount)

    async def beats(self) -> Mapping[str, int]:
        """See the port."""
        return await self._database.look(lambda connection: dict(connection.execute("SELECT holder, beat FROM runtime_beats").fetchall()))

    async def look(self, name: str) -> Sighting:
        """See the port."""

        def run(connection: sqlite3.Connection) -> Sighting:
            row = connection.execute("SELECT holder, token FROM runtime_leases WHERE name = ?", (name,)).fetchone()
            if row is None:
                return Sighting(None, None)
            beat = connection.execute("SELECT beat FROM runtime_beats WHERE holder = ?", (row[0],)).fetchone()
            return Sighting(Lease(name, row[0], row[1]), beat[0] if beat else None)

        return await self._database.read(run)

    async def take(self, name: str, seen: Lease | None, holder: str) -> Lease | None:
        """See the port."""
        insert = "INSERT INTO runtime_leases (name, holder, token) VALUES (?, ?, 1) ON CONFLICT DO NOTHING"
        update = "UPDATE runtime_leases SET holder = ?, token = token + 1 WHERE name = ? AND token = ? AND holder IS ?"

        def run(connection: sqlite3.Connection) -> int:
            if seen is None:
                return connection.execute(insert, (name, holder)).rowcount
            return connection.execute(update, (holder, name, seen.token, seen.holder)).rowcount

        if await self._database.write(run) != 1:
            return None
        return Lease(name, holder, 1 if seen is None else seen.token + 1)

    async def release(self, lease: Lease) -> None:
        """See the port."""
        statement = "UPDATE runtime_leases SET holder = NULL WHERE name = ? AND token = ? AND holder = ?"
        await self._database.write(lambda connection: connection.execute(statement, (lease.name, lease.token, lease.holder)).rowcount)
