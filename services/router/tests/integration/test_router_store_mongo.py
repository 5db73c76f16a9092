"""The MongoDB stores keep the behaviour suite."""

import pytest
from router.domain.messages import entry_of, message_of
from router.store.mongo import MongoTimeline, migrate
from router.store.port import SummaryHead
from router.testing.model_events import received
from router.testing.store_suite import StoreSuite
from threadline_runtime.mongo import MongoDatabase

pytestmark = pytest.mark.integration


class TestOnMongo(StoreSuite):
    @pytest.fixture
    async def store(self, mongodb: MongoDatabase):
        await migrate(mongodb)
        await migrate(mongodb)
        return MongoTimeline(mongodb)

    async def test_a_message_whose_name_makes_its_id_costs_one_write(self, store: MongoTimeline, mongodb: MongoDatabase) -> None:
        """Speed: most channels need no second document for a name."""
        event = received("7", 1, "ann", mail=False, ref=None, minute=0, intake=1)
        await store.file([entry_of(message_of(event, size=100), strand_id="c_1", inbound_seq=1, why=())])
        assert await mongodb.collection("router_names").find({}) == []
        (name,) = (await store.entries([event.message_id]))[event.message_id].names
        assert [ref.message_id for ref in (await store.named([name]))[name]] == [event.message_id]

    async def test_a_summary_that_does_not_name_its_contact_has_a_version(self, store: MongoTimeline, mongodb: MongoDatabase) -> None:
        """P9: the next derivation asks the strand whose it is."""
        await mongodb.collection("router_summaries").insert([{"_id": "c_1", "version": 7}])
        assert await store.summary_heads(["c_1"]) == {"c_1": SummaryHead(7, None)}
