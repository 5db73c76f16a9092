"""The delivery store's behaviour on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notifier.store.sqlite import SqliteDeliveryStore
from notifier.testing.store_suite import DeliveryStoreSuite
from threadline_runtime.sqlite import SqliteDatabase


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteDeliveryStore]:
    database = SqliteDatabase.open(":memory:" if request.param == "memory" else tmp_path / "threadline.db")
    store = SqliteDeliveryStore(database)
    await store.migrate()
    await store.migrate()
    yield store
    await database.close()


class TestSqliteDeliveryStore(DeliveryStoreSuite):
    """Everything the port promises."""
