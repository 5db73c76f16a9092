"""The delivery store's behaviour on MongoDB."""

import pytest
from notifier.store.mongo import MongoDeliveryStore
from notifier.testing.store_suite import DeliveryStoreSuite
from threadline_runtime.mongo import MongoDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(mongodb: MongoDatabase) -> MongoDeliveryStore:
    store = MongoDeliveryStore(mongodb)
    await store.migrate()
    await store.migrate()
    return store


class TestMongoDeliveryStore(DeliveryStoreSuite):
    """Everything the port promises."""
