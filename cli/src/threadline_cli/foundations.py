"""What all services of `threadline up` stand on: the lock on the data folder, bus, database, blobs, leases, keys, metrics, health.

Not here: the services themselves (`composition`) and how long they run (`up`).
"""

import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.consumer_watch import WatchedConsumers
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.health import Health
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.lockfile import DataLock
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_blobs, open_bus, open_database
from threadline_runtime.settings import Settings
from threadline_runtime.signing import SigningKeys, create_signing_keys, load_signing_keys
from threadline_runtime.sqlite import SqliteDatabase

from threadline_cli.version import VERSION

__all__ = ["Foundations", "laid", "signing_keys"]


@dataclass(frozen=True, slots=True)
class Foundations:
    """Open and migrated. `spool` is a folder for this process alone; `environment` is where secrets are looked up."""

    data: Path
    settings: Settings
    configuration: Configuration
    environment: Mapping[str, str]
    bus: SqliteBus
    database: SqliteDatabase
    blobs: BlobStore
    leases: Leases
    signing: SigningKeys
    metrics: Metrics
    watch: WatchedConsumers
    health: Health
    spool: Path


@asynccontextmanager
async def laid(data: Path, settings: Settings, configuration: Configuration) -> AsyncIterator[Foundations]:
    """Lock the folder and open everything; let go of it in reverse order. Raises ConfigurationError."""
    async with AsyncExitStack() as stack:
        lock = DataLock.take(data)
        stack.callback(lock.release)
        signing = signing_keys(data, settings)
        metrics = Metrics(CollectorRegistry())
        metrics.built("threadline", VERSION)
        watch = WatchedConsumers(metrics, time.monotonic)
        bus = await open_bus(settings.bus.url, version=VERSION, watch=watch)
        stack.push_async_callback(bus.close)
        database = open_database(settings.database.url)
        stack.push_async_callback(database.close)
        lease_store = SqliteLeaseStore(database)
        await lease_store.migrate()
        # The lock file proves that nobody else runs on this folder, so what a dead predecessor held is free.
        leases = Leases(lease_store, f"up-{os.getpid()}-{secrets.token_hex(4)}", time.monotonic, sole=True)
        yield Foundations(
            data=data,
            settings=settings,
            configuration=configuration,
            environment=os.environ,
            bus=bus,
            database=database,
            blobs=open_blobs(settings.blobs.url),
            leases=leases,
            signing=signing,
            metrics=metrics,
            watch=watch,
            health=Health(),
            spool=data / "spool",
        )


def signing_keys(data: Path, settings: Settings) -> SigningKeys:
    """The keys that the settings name; those of the data folder are made when they are missing."""
    if settings.signing_keys is None:
        raise ConfigurationError("THREADLINE_SIGNING_KEYS is not set: file:/path of a file with one key a line, in hex")
    own = data.absolute() / "signing.keys"
    if settings.signing_keys == f"file:{own}":
        create_signing_keys(own)
    return load_signing_keys(settings.signing_keys, os.environ)
