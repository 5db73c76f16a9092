"""The MongoDB stores keep the behaviour suite."""

import pytest
from router.store.mongo import MongoTimeline, migrate
from router.testing.store_suite import StoreSuite
from threadline_runtime.mongo import MongoDatabase

pytestmark = pytest.mark.integration


class TestOnMongo(StoreSuite):
    @pytest.fixture
    async def store(self, mongodb: MongoDatabase):
        await migrate(mongodb)
        await migrate(mongodb)
        return MongoTimeline(mongodb)
