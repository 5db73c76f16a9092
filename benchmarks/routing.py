"""A router as a process has it, over a place to keep things: a folder with SQLite files, or a Kafka and a MongoDB.

Not here: the events (`events`), what is measured, and anything around the router (its API over HTTP, connectors).
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pace import ClockedWatch, Speed
from prometheus_client import CollectorRegistry
from router import app
from router.app import Router
from router.consuming import GROUPS
from threadline_events import topics
from threadline_events.inbound import InboundEvent
from threadline_events.records import inbound_record
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_topics import PARTITIONS, plans_for
from threadline_runtime.bus.port import Bus, Subscription
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.configuration.configuration import Configuration, load_configuration
from threadline_runtime.garbage import look_rarely
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_database
from threadline_runtime.signing import SigningKeys
from threadline_runtime.sqlite import SqliteDatabase
from threadline_runtime.testing.kafka import KAFKA_VARIABLE, running_kafka
from threadline_runtime.testing.kafka_places import make_afresh
from threadline_runtime.testing.mongodb import MONGODB_VARIABLE, database_url, running_mongodb

__all__ = ["PLACES", "Place", "PlaceName", "configured", "emptied", "publish", "router_on", "running", "work_off"]

PlaceName = Literal["sqlite", "kafka+mongodb"]
PLACES: tuple[PlaceName, ...] = ("sqlite", "kafka+mongodb")
_PUBLISHED_AT_ONCE = 2_000


@dataclass(frozen=True)
class Place:
    """Where the bus and the database lie; None: in files of the folder that is given."""

    kafka: str | None = None
    mongodb: str | None = None

    def database_url(self, folder: Path) -> str:
        """A database that nobody used before."""
        if self.mongodb is None:
            return f"sqlite:///{folder / 'threadline.db'}"
        return database_url(self.mongodb, f"bench_{secrets.token_hex(6)}")


@contextmanager
def running(name: PlaceName) -> Iterator[Place]:
    """The place, with servers of its own or those that the environment names; this process set up as ours are, for both sides alike."""
    look_rarely()
    if name == "sqlite":
        yield Place()
        return
    with ExitStack() as stack:
        kafka = os.environ.get(KAFKA_VARIABLE) or stack.enter_context(running_kafka()).url
        mongodb = os.environ.get(MONGODB_VARIABLE) or stack.enter_context(running_mongodb()).url
        yield Place(kafka, mongodb)


def configured(folder: Path) -> Configuration:
    """One brand, no accounts."""
    file = folder / "threadline.yaml"
    file.write_text(yaml.safe_dump({"brands": {"acme": {"name": "Acme"}}}))
    return load_configuration(file)


async def emptied(place: Place, partitions: int = PARTITIONS) -> None:
    """Make the topics of Kafka afresh; a folder's bus begins empty."""
    if place.kafka is not None:
        await make_afresh(place.kafka, plans_for(topics.ALL, partitions))


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def _bus(place: Place, folder: Path, watch: ClockedWatch, partitions: int, now: Callable[[], datetime]) -> SqliteBus | KafkaBus:
    if place.kafka is None:
        return await SqliteBus.open(SqliteDatabase.open(folder / "bus.db"), partitions=partitions, watch=watch, now=now)
    return KafkaBus.open(place.kafka, watch=watch, now=now)


@asynccontextmanager
async def router_on(
    place: Place,
    folder: Path,
    watch: ClockedWatch,
    *,
    partitions: int = PARTITIONS,
    database_url: str | None = None,
    now: Callable[[], datetime] = _utc_now,
) -> AsyncIterator[Router]:
    """A router over the place's bus (of so many partitions where it is made here), and an empty database unless one is named.

    `now` is the bus's clock.
    """
    bus = await _bus(place, folder, watch, partitions, now)
    database = open_database(database_url or place.database_url(folder))
    try:
        await app.migrate(database)
        signing = SigningKeys([secrets.token_bytes(32)])
        blobs, metrics = FileBlobs.open(folder / "blobs"), Metrics(CollectorRegistry())
        yield app.build_router(app.Surroundings(bus, database, blobs, configured(folder), signing, metrics, os.urandom))
    finally:
        await database.close()
        await bus.close()


async def publish(bus: Bus, events: Sequence[InboundEvent]) -> None:
    """Put the events on the bus."""
    for start in range(0, len(events), _PUBLISHED_AT_ONCE):
        await bus.publish([inbound_record(event) for event in events[start : start + _PUBLISHED_AT_ONCE]])


def _inbound(router: Router) -> Subscription[Any]:
    (found,) = (one for one in router.consumers.all() if one.group == GROUPS[topics.INBOUND])
    return found


async def work_off(router: Router, watch: ClockedWatch, count: int, *, batch: int | None = None) -> Speed:
    """Let the router's inbound group work off so many events that lie on its bus; how fast it was."""
    clock = watch.restart(count)
    inbound = _inbound(router)
    member = asyncio.create_task(router.bus.consume(replace(inbound, max_records=batch or inbound.max_records)))
    full = asyncio.create_task(clock.full.wait())
    await asyncio.wait([member, full], return_when=asyncio.FIRST_COMPLETED)
    if member.done():
        full.cancel()
        member.result()
    member.cancel()
    await asyncio.wait([member])
    return clock.speed()
