"""`python -m notifier`: the notifier as a process of its own. `python -m notifier migrate` creates its tables and ends."""

import asyncio
import os
import sys
import time
import uuid
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.consumer_watch import WatchedConsumers
from threadline_runtime.errors import ThreadlineError
from threadline_runtime.failpoints import arm_failpoints
from threadline_runtime.health import Health, LoopBeat
from threadline_runtime.http import HttpServer
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.logging import configure_logging
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_blobs, open_bus, open_database
from threadline_runtime.ops import ops_app
from threadline_runtime.settings import Settings, load_settings
from threadline_runtime.sqlite import SqliteDatabase

from notifier.app import Notifier, Surroundings, migrate, open_store, sending_accounts

_SERVICE = "notifier"
_USAGE = "usage: python -m notifier [migrate]"


async def _run(settings: Settings) -> None:
    configuration = load_configuration(Path(os.environ.get("THREADLINE_CONFIG", "threadline.yaml")))
    accounts = sending_accounts(configuration, os.environ)
    built, metrics, health = version("threadline-notifier"), Metrics(CollectorRegistry()), Health()
    metrics.built(_SERVICE, built)
    watch = WatchedConsumers(metrics, time.monotonic)
    server = HttpServer.claim(settings.ops.host, settings.ops.port, option="THREADLINE_OPS__PORT")
    database = open_database(settings.database.url)
    blobs = open_blobs(settings.blobs.url)
    bus = await open_bus(settings.bus.url, version=built, watch=watch)
    await _prepare(database)
    leases = Leases(SqliteLeaseStore(database), uuid.uuid4().hex, time.monotonic)
    notifier = Notifier(accounts, Surroundings(bus, blobs, open_store(database), leases, metrics))
    beat, life = LoopBeat(time.monotonic), Lifecycle(on_stop=health.drain)

    async def sending() -> str | None:
        return "; ".join(f"{name}: {reason}" for name, reason in notifier.problems().items()) or None

    health.add_probe("bus", bus.probe)
    health.add_readiness("consumer", watch.readiness)
    health.add_readiness("accounts", sending)
    health.add_liveness("loop", beat.liveness)
    health.add_liveness("parts", life.liveness)
    life.add("notifier", notifier.run, stage=Stage.WORK)
    life.add("leases", leases.run, stage=Stage.SUPPORT)
    life.add("beat", beat.run, stage=Stage.SUPPORT)
    life.add("ops", lambda: server.serve(ops_app(health, metrics.registry)), stage=Stage.SUPPORT)
    try:
        await life.run()
    finally:
        await bus.close()
        await database.close()


async def _prepare(database: SqliteDatabase) -> None:
    await migrate(database)
    await SqliteLeaseStore(database).migrate()


async def _migrate(settings: Settings) -> None:
    database = open_database(settings.database.url)
    try:
        await _prepare(database)
    finally:
        await database.close()


def main(arguments: list[str]) -> int:
    """Run until stopped; the exit status."""
    if arguments not in ([], ["migrate"]):
        print(_USAGE, file=sys.stderr)  # noqa: T201 - the answer to a wrong call
        return 2
    try:
        settings = load_settings()
        configure_logging(settings.log, service=_SERVICE, version=version("threadline-notifier"))
        arm_failpoints(os.environ)
        asyncio.run(_migrate(settings) if arguments else _run(settings))
    except ThreadlineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the one line an operator reads
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
