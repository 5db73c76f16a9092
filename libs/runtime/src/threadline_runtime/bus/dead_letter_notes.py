"""Notes on dead letters, in SQLite."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from threadline_runtime.bus.dead_letters import Note
from threadline_runtime.bus.port import Position
from threadline_runtime.sqlite import SqliteDatabase

__all__ = ["SqliteDeadLetterNotes"]

_TABLE = """CREATE TABLE IF NOT EXISTS runtime_dead_letter_notes (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, action TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID"""


class SqliteDeadLetterNotes:
    """The `DeadLetterNotes` port."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def migrate(self) -> None:
        """Make the table if it is not there."""
        await self._database.write(lambda connection: connection.execute(_TABLE).rowcount)

    async def add(self, origin: Position, note: Note) -> None:
        """See the port."""
        row = (origin.topic, origin.partition, origin.offset, note.action, note.at.isoformat())
        statement = "INSERT OR IGNORE INTO runtime_dead_letter_notes (topic, partition, offset, action, at) VALUES (?, ?, ?, ?, ?)"
        await self._database.write(lambda connection: connection.execute(statement, row).rowcount)

    async def of_topic(self, topic: str) -> Mapping[Position, Note]:
        """See the port."""

        def run(connection: sqlite3.Connection) -> dict[Position, Note]:
            statement = "SELECT partition, offset, action, at FROM runtime_dead_letter_notes WHERE topic = ?"
            return {
                Position(topic, partition, offset): Note(action, datetime.fromisoformat(at))
                for partition, offset, action, at in connection.execute(statement, (topic,))
            }

        return await self._database.read(run)
