"""Where a poller goes on: one position a source, written only under the writer's own token.

Not here: what a position says (each poller's own text) and who may hold a source (leases).
"""

import sqlite3
from typing import Protocol

from threadline_runtime.errors import ThreadlineError
from threadline_runtime.sqlite import SqliteDatabase

from threadline_connectors.pollers import Source

__all__ = ["CheckpointStore", "Deposed", "SqliteCheckpointStore"]


class Deposed(ThreadlineError):  # noqa: N818 - a state of the holder, not a fault
    """A higher token stands in the checkpoint: another process holds the source now."""


class CheckpointStore(Protocol):
    """Checkpoints of all sources."""

    async def migrate(self) -> None:
        """Create what is missing; may run at any time, also twice at once."""
        ...

    async def claim(self, source: Source, token: int) -> str | None:
        """Write `token` into the checkpoint, then read the position (None: never started).

        From here on nobody with a lower token can store. Raises Deposed where a higher token stands.
        """
        ...

    async def store(self, source: Source, token: int, position: str) -> None:
        """Store the position; raises Deposed, and stores nothing, where `token` is not the one that stands."""
        ...

    async def position(self, source: Source) -> str | None:
        """The stored position, for people and checks."""
        ...


class SqliteCheckpointStore:
    """Checkpoints in SQLite."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def migrate(self) -> None:
        """Create the table."""
        await self._database.write(_create)

    async def claim(self, source: Source, token: int) -> str | None:
        """See `CheckpointStore.claim`."""
        return await self._database.write(lambda db: _claim(db, source, token))

    async def store(self, source: Source, token: int, position: str) -> None:
        """See `CheckpointStore.store`."""
        await self._database.write(lambda db: _store(db, source, token, position))

    async def position(self, source: Source) -> str | None:
        """See `CheckpointStore.position`."""
        return await self._database.read(lambda db: _position(db, source))


def _create(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE IF NOT EXISTS ingest_checkpoints ("
        " account_id TEXT NOT NULL, stream TEXT NOT NULL, token INTEGER NOT NULL, position TEXT,"
        " PRIMARY KEY (account_id, stream)) WITHOUT ROWID"
    )


def _claim(db: sqlite3.Connection, source: Source, token: int) -> str | None:
    name = (source.account_id, source.stream)
    db.execute("INSERT INTO ingest_checkpoints (account_id, stream, token) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (*name, token))
    done = db.execute("UPDATE ingest_checkpoints SET token = ? WHERE account_id = ? AND stream = ? AND token <= ?", (token, *name, token))
    if done.rowcount == 0:
        raise Deposed(f"{source.account_id} ({source.stream}) is held by another process")
    return _position(db, source)


def _store(db: sqlite3.Connection, source: Source, token: int, position: str) -> None:
    done = db.execute(
        "UPDATE ingest_checkpoints SET position = ? WHERE account_id = ? AND stream = ? AND token = ?",
        (position, source.account_id, source.stream, token),
    )
    if done.rowcount == 0:
        raise Deposed(f"{source.account_id} ({source.stream}) is held by another process")


def _position(db: sqlite3.Connection, source: Source) -> str | None:
    name = (source.account_id, source.stream)
    row = db.execute("SELECT position FROM ingest_checkpoints WHERE account_id = ? AND stream = ?", name).fetchone()
    return None if row is None else row[0]
