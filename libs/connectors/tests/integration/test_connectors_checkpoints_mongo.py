"""Checkpoints in MongoDB pass the suite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from threadline_connectors.checkpoints import CheckpointStore
from threadline_connectors.mongo_checkpoints import MongoCheckpointStore
from threadline_connectors.testing.checkpoint_suite import CheckpointStoreSuite
from threadline_runtime.mongo import MongoDatabase

pytestmark = pytest.mark.integration


class TestCheckpointsOnMongo(CheckpointStoreSuite):
    @pytest.fixture(autouse=True)
    def _database(self, mongodb: MongoDatabase) -> None:
        self.database = mongodb

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[CheckpointStore]:
        store = MongoCheckpointStore(self.database)
        await store.migrate()
        yield store

    def opened(self):
        return self._opened()
