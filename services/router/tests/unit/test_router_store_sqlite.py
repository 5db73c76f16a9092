"""The SQLite stores keep the behaviour suite, in memory and in a file."""

import pytest
from router.store.sqlite import SqliteTimeline, migrate
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
