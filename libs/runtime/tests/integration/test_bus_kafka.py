"""The bus on a real Kafka passes the behaviour suite unchanged."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from threadline_events.topics import is_dead_letter_topic
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_topics import TopicPlan, plans_for
from threadline_runtime.bus.port import Bus
from threadline_runtime.testing.bus.rig import OTHER, TOPIC
from threadline_runtime.testing.bus_suite import FAST, BusSuite
from threadline_runtime.testing.kafka_places import QUICK, admin_of, make_afresh

pytestmark = pytest.mark.integration


def _as_operated(plan: TopicPlan) -> TopicPlan:
    """An operator lets larger records in than we would, and forgets the dead letters."""
    return plan if is_dead_letter_topic(plan.name) else replace(plan, record_bytes=4_000_000)


class TestOnKafka(BusSuite):
    """A place is a folder of the test; the first bus on it finds its topics empty."""

    @pytest.fixture(autouse=True)
    def _on(self, kafka: str) -> None:
        self.url = kafka
        self.places: set[Path] = set()

    async def make_bus(self, place: Path, partitions: int = 4) -> Bus:
        if place not in self.places:
            self.places.add(place)
            await make_afresh(self.url, [_as_operated(plan) for plan in plans_for([TOPIC, OTHER], partitions)])
        return KafkaBus.open(self.url, retry=FAST, pace=QUICK, blobs=FileBlobs.open(place / "blobs"))

    async def expire(self, bus: Bus, topic: str) -> None:
        ends = await bus.end([topic])
        before = {TopicPartition(end.topic, end.partition): RecordsToDelete(end.offset + 1) for end in ends}
        async with admin_of(self.url) as admin:
            await admin.delete_records(before)
