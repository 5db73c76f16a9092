"""The SQLite checkpoint store passes the store's suite, in memory and in a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from threadline_connectors.checkpoints import CheckpointStore, SqliteCheckpointStore
from threadline_connectors.testing.checkpoint_suite import CheckpointStoreSuite
from threadline_runtime.sqlite import MEMORY, SqliteDatabase


@asynccontextmanager
async def opened(path: str | Path) -> AsyncIterator[CheckpointStore]:
    database = SqliteDatabase.open(path)
    store = SqliteCheckpointStore(database)
    await store.migrate()
    await store.migrate()
    try:
        yield store
    finally:
        await database.close()


class TestInMemory(CheckpointStoreSuite):
    def opened(self):
        return opened(MEMORY)


class TestInAFile(CheckpointStoreSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "threadline.db"

    def opened(self):
        return opened(self.path)
