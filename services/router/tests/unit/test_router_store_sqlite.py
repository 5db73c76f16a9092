"""The SQLite stores keep the behaviour suite, in memory and in a file."""

import sqlite3

import pytest
from router.store.sqlite import SqliteTimeline, migrate
from router.store.sqlite_schema import STATEMENTS
from router.testing.store_suite import StoreSuite
from threadline_runtime.sqlite import SqliteDatabase


class TestInMemory(StoreSuite):
    @pytest.fixture
    async def store(self):
        database = SqliteDatabase.open(":memory:")
        await migrate(database)
        yield SqliteTimeline(database)
        await database.close()


class TestInAFile(StoreSuite):
    @pytest.fixture
    async def store(self, tmp_path):
        database = SqliteDatabase.open(tmp_path / "threadline.db")
        await migrate(database)
        await migrate(database)
        yield SqliteTimeline(database)
        await database.close()


def test_the_integrity_check_of_an_operator_finds_nothing_in_sound_tables():
    """Older SQLite calls a column before the last one of the key empty, in a table without row ids."""
    connection = sqlite3.connect(":memory:")
    for statement in STATEMENTS:
        connection.execute(statement)
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        given = ", ".join("1" if kind == "INTEGER" else "'x'" for _, _, kind, *_ in columns)
        connection.execute(f"INSERT INTO {table} VALUES ({given})")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
