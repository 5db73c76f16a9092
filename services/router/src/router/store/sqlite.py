"""The timeline's stores on SQLite, put together; `migrate` makes the tables."""

import sqlite3

from threadline_runtime.sqlite import SqliteDatabase

from router.store.sqlite_deciders import Deciders
from router.store.sqlite_entries import EntryTables
from router.store.sqlite_outcomes import OutcomeTables
from router.store.sqlite_schema import STATEMENTS
from router.store.sqlite_strands import StrandTables

__all__ = ["SqliteTimeline", "migrate"]


class SqliteTimeline(Deciders, StrandTables, EntryTables, OutcomeTables):
    """TimelineStore, OutcomeStore and DeskStore in one file."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)


async def migrate(database: SqliteDatabase) -> None:
    """Make what is missing; can run again."""

    def run(connection: sqlite3.Connection) -> None:
        for statement in STATEMENTS:
            connection.execute(statement)

    await database.write(run)
