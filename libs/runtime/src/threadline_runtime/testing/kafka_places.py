"""What tests on Kafka share: topics made afresh, groups set back, and a pace in which a rebalance takes a fraction of a second.

Not here: starting Kafka (`kafka`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from threadline_runtime.bus.kafka_connection import KafkaConnection, KafkaPace, read_servers
from threadline_runtime.bus.kafka_topics import TopicPlan, migrate_topics

__all__ = ["QUICK", "admin_of", "coordinator_of", "make_afresh", "remove_topics", "rewind", "until_in_sync"]

QUICK = KafkaPace(session_ms=6_000, heartbeat_ms=100, rebalance_ms=10_000, drain_seconds=8.0, request_seconds=10.0, poll_ms=5)
_GONE_PAUSE = 0.02
_BEHIND_PAUSE = 0.2


@contextlib.asynccontextmanager
async def admin_of(url: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics while the context lasts."""
    admin = KafkaConnection(read_servers(url), None, QUICK).admin()
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def remove_topics(url: str, names: Collection[str]) -> None:
    """Remove the topics with all they hold, and what groups have committed on them; returns when they are gone."""
    async with admin_of(url) as admin, asyncio.timeout(30):
        if there := set(names) & set(await admin.list_topics()):
            await admin.delete_topics(sorted(there))
        while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 - Kafka has no event for it
            await asyncio.sleep(_GONE_PAUSE)


async def make_afresh(url: str, plans: Sequence[TopicPlan]) -> None:
    """Remove the topics and make them again, empty."""
    await remove_topics(url, {plan.name for plan in plans})
    async with admin_of(url) as admin, asyncio.timeout(30):
        await migrate_topics(admin, plans)


async def coordinator_of(url: str, group: str) -> int:
    """The number of the broker that leads the group; waits while none does."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(KafkaError):  # a client asks one broker, which may be the one that was lost
                async with admin_of(url) as admin:
                    return int(await admin.find_coordinator(group))
            await asyncio.sleep(_BEHIND_PAUSE)


async def until_in_sync(url: str) -> None:
    """Wait until every replica of every partition has all that its leader has: only then may the next broker be lost."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(KafkaError):
                async with admin_of(url) as admin:
                    partitions = [one for topic in await admin.describe_topics() for one in topic["partitions"]]
                if all(set(one["isr"]) == set(one["replicas"]) for one in partitions):
                    return
            await asyncio.sleep(_BEHIND_PAUSE)


async def rewind(url: str, groups: Mapping[str, str]) -> None:
    """Set each topic's group back to the earliest record; nobody may be in the groups."""
    for topic, group in groups.items():
        consumer = AIOKafkaConsumer(bootstrap_servers=list(read_servers(url)), group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            async with admin_of(url) as admin:
                (found,) = await admin.describe_topics([topic])
            parts = [TopicPartition(topic, part["partition"]) for part in found["partitions"]]
            consumer.assign(parts)
            await consumer.commit(dict(await consumer.beginning_offsets(parts)))
        finally:
            await consumer.stop()
