"""What every process stands on, opened from its settings and let go of in reverse order.

Not here: the services on top (each one's `app`), and what only a data folder of one's own gives (its lock file, keys made by itself).
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.consumer_watch import WatchedConsumers
from threadline_runtime.health import Health
from threadline_runtime.leases.leases import Leases
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import OpenBus, OpenDatabase, lease_store_of, open_blobs, open_bus, open_database, probe_bus
from threadline_runtime.settings import Settings
from threadline_runtime.sqlite import SqliteDatabase

__all__ = ["Foundations", "Process", "laid"]


@dataclass(frozen=True, slots=True)
class Process:
    """Which process this is: the name and version that metrics and logs show, and the name it holds leases under.

    `sole`: a lock file proves that no other process runs on this folder, so that what a dead predecessor held in its SQLite file is
    free at once. Of a server's database a lock file proves nothing.
    """

    name: str
    version: str
    holder: str
    sole: bool = False


@dataclass(frozen=True, slots=True)
class Foundations:
    """Open, its own tables migrated. `environment` is where secrets are looked up."""

    settings: Settings
    configuration: Configuration
    environment: Mapping[str, str]
    bus: OpenBus
    database: OpenDatabase
    blobs: BlobStore
    leases: Leases
    metrics: Metrics
    watch: WatchedConsumers
    health: Health


@asynccontextmanager
async def laid(
    process: Process, settings: Settings, configuration: Configuration, environment: Mapping[str, str]
) -> AsyncIterator[Foundations]:
    """Open everything that the settings name. Raises ConfigurationError, or TransientError where something cannot be written."""
    async with AsyncExitStack() as stack:
        metrics = Metrics(CollectorRegistry())
        metrics.built(process.name, process.version)
        watch = WatchedConsumers(metrics, time.monotonic, {each.id: each.channel for each in configuration.accounts})
        blobs = open_blobs(settings.blobs.url)
        security = settings.bus.security
        bus = await open_bus(settings.bus.address, version=process.version, watch=watch, security=security, blobs=blobs)
        stack.push_async_callback(bus.close)
        database = open_database(settings.database.address)
        stack.push_async_callback(database.close)
        lease_store = lease_store_of(database)
        await lease_store.migrate()
        health = Health()
        health.add_probe("bus", partial(probe_bus, bus))
        health.add_probe("database", database.probe)
        health.add_readiness("consumers", watch.readiness)
        yield Foundations(
            settings=settings,
            configuration=configuration,
            environment=environment,
            bus=bus,
            database=database,
            blobs=blobs,
            leases=Leases(lease_store, process.holder, time.monotonic, sole=process.sole and isinstance(database, SqliteDatabase)),
            metrics=metrics,
            watch=watch,
            health=health,
        )
