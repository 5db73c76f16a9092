"""The topics of Threadline on Kafka: how they are made by `migrate`, never by writing to them.

Not here: their names (`threadline_events.topics`).
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from threadline_events import topics

from threadline_runtime.bus.dead_letter_record import LETTER_BYTES
from threadline_runtime.errors import ConfigurationError

__all__ = ["PARTITIONS", "TopicPlan", "all_plans", "migrate_topics", "plans_for"]

PARTITIONS = 12
"""Of each topic. Chosen once: another number would send a key to another partition."""

_KEEP = timedelta(days=14)
_KEEP_DEAD = timedelta(days=90)
_RECORD_BYTES = 1024 * 1024
_COPIES = 3
_SEEN_TRIES = 100
_SEEN_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it is to be made."""

    name: str
    partitions: int
    keep: timedelta
    record_bytes: int


def plans_for(names: Iterable[str], partitions: int = PARTITIONS) -> tuple[TopicPlan, ...]:
    """Each topic, and the one for its dead letters, which takes a little more and keeps it longer."""
    return tuple(
        plan
        for name in names
        for plan in (
            TopicPlan(name, partitions, _KEEP, _RECORD_BYTES),
            TopicPlan(topics.dead_letter_topic(name), partitions, _KEEP_DEAD, LETTER_BYTES),
        )
    )


def all_plans() -> tuple[TopicPlan, ...]:
    """Every topic of the contract."""
    return plans_for(topics.ALL)


async def migrate_topics(admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan]) -> tuple[str, ...]:
    """Make the topics that are missing and wait until they can be used; answers their names.

    A topic that is there stays as its operator has set it; raises ConfigurationError where it has too few partitions to be ours.
    """
    cluster = await admin.describe_cluster()
    copies = min(_COPIES, len(cluster["brokers"]))
    there = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    _refuse_other_partitions(plans, there)
    missing = [plan for plan in plans if plan.name not in there]
    if not missing:
        return ()
    answer = await admin.create_topics([_new_topic(plan, copies) for plan in missing])
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"the topic {name} cannot be made: {error.__name__}")
    await _until_seen(admin, missing)
    return tuple(plan.name for plan in missing)


def _refuse_other_partitions(plans: Sequence[TopicPlan], there: dict[str, int]) -> None:
    for plan in plans:
        if there.get(plan.name, plan.partitions) < plan.partitions:
            raise ConfigurationError(
                f"the topic {plan.name} has {there[plan.name]} partitions, not {plan.partitions}: it was not made by `migrate`"
                " (automatic creation of topics must be off); remove it if it is empty, and run migrate again"
            )


def _new_topic(plan: TopicPlan, copies: int) -> NewTopic:
    return NewTopic(
        name=plan.name,
        num_partitions=plan.partitions,
        replication_factor=copies,
        topic_configs={
            "cleanup.policy": "delete",
            "retention.ms": str(int(plan.keep.total_seconds() * 1000)),
            "min.insync.replicas": str(max(1, copies - 1)),
            "max.message.bytes": str(plan.record_bytes),
            # When a record was written is the bus's to say; reading from a time and retention rely on it.
            "message.timestamp.type": "LogAppendTime",
        },
    )


async def _until_seen(admin: AIOKafkaAdminClient, plans: Sequence[TopicPlan]) -> None:
    """Each broker learns of a new topic a moment after it was made; a leader must stand for every partition."""
    wanted = {plan.name for plan in plans}
    for _ in range(_SEEN_TRIES):
        found = [topic for topic in await admin.describe_topics() if topic["topic"] in wanted]
        led = [topic for topic in found if all(part["leader"] >= 0 for part in topic["partitions"])]
        if len(led) == len(wanted):
            return
        await asyncio.sleep(_SEEN_PAUSE)
    raise ConfigurationError("Kafka made the topics, but names no leader for them: look at the brokers' logs, then run migrate again")
