"""The API's stores on MongoDB keep the behaviour suite."""

import pytest
from router.stores import migrate, stores_of
from router.testing.api_store_suite import ApiStoreSuite
from threadline_runtime.mongo import MongoDatabase


@pytest.mark.integration
class TestOnMongo(ApiStoreSuite):
    @pytest.fixture
    async def stores(self, mongodb: MongoDatabase):
        await migrate(mongodb)
        return stores_of(mongodb)
