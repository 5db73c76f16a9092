"""Leases on MongoDB pass the suite."""

import pytest
from threadline_runtime.leases.mongo import MongoLeaseStore
from threadline_runtime.leases.port import LeaseStore
from threadline_runtime.mongo import MongoDatabase
from threadline_runtime.testing.lease_suite import LeaseSuite

pytestmark = pytest.mark.integration


class TestLeasesOnMongo(LeaseSuite):
    @pytest.fixture(autouse=True)
    def _database(self, mongodb: MongoDatabase) -> None:
        self.database = mongodb

    async def make_store(self) -> LeaseStore:
        store = MongoLeaseStore(self.database)
        await store.migrate()
        return store
