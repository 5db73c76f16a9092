"""The API's stores on SQLite keep the behaviour suite."""

import pytest
from router.stores import migrate, stores_of
from router.testing.api_store_suite import ApiStoreSuite
from threadline_runtime.sqlite import MEMORY, SqliteDatabase


class TestOnSqlite(ApiStoreSuite):
    @pytest.fixture
    async def stores(self):
        database = SqliteDatabase.open(MEMORY)
        await migrate(database)
        yield stores_of(database)
        await database.close()
