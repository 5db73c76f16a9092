"""Puts every service of `threadline up` together over one foundation: what runs, what is asked for readiness, what is served.

Not here: opening things (`foundations`), and for how long all of it runs (`up`).
"""

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from functools import partial

import ingest_email.app as ingest
import notifier.app as sending
import router.app as routing
from ingest_email.app import IngestEmail
from notifier.app import Notifier
from router.app import Router
from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.errors import TransientError
from threadline_runtime.foundations import Foundations
from threadline_runtime.health import LoopBeat
from threadline_runtime.http import HttpServer
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.nearest import unknown
from threadline_runtime.opening import migrate_bus
from threadline_runtime.ops import ops_app
from threadline_runtime.starting import bus_reached, database_reached

from threadline_cli.foundations import DataFolder

__all__ = ["Doors", "Services", "compose", "prepare", "refuse_unknown_channels"]

_TRIM_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Doors:
    """The two ports, claimed before anything runs."""

    public: HttpServer
    ops: HttpServer


@dataclass(frozen=True, slots=True)
class Services:
    """Every service, ready to run by `life`; `stopping` is set when it begins to drain."""

    router: Router
    ingest_email: IngestEmail
    notifier: Notifier
    life: Lifecycle
    stopping: asyncio.Event


def compose(folder: DataFolder, doors: Doors) -> Services:
    """Build all services; what tells how they do runs from the start of `life`.

    Raises ConfigurationError with file and line for an account that cannot be.
    """
    base = folder.base
    refuse_unknown_channels(base.configuration)
    mail = ingest.mail_accounts(base.configuration, base.environment)
    senders = sending.sending_accounts(base.configuration, base.environment)
    checkpoints = ingest.open_checkpoints(base.database)
    around = ingest.Surroundings(base.bus, base.blobs, checkpoints, base.leases, base.metrics, folder.spool)
    stopping = asyncio.Event()

    def stop() -> None:
        base.health.drain()
        stopping.set()

    services = Services(
        router=routing.build_router(
            routing.Surroundings(base.bus, base.database, base.blobs, base.configuration, folder.signing, base.metrics, os.urandom)
        ),
        ingest_email=IngestEmail(mail, around),
        notifier=Notifier(
            senders, sending.Surroundings(base.bus, base.blobs, sending.open_store(base.database), base.leases, base.metrics)
        ),
        life=Lifecycle(on_stop=stop),
        stopping=stopping,
    )
    _watch(base, services)
    beat = LoopBeat(time.monotonic)
    base.health.add_liveness("loop", beat.liveness)
    services.life.add("beat", beat.run, stage=Stage.SUPPORT)
    services.life.add("outages", base.health.tell, stage=Stage.SUPPORT)
    services.life.add("ops", lambda: doors.ops.serve(ops_app(base.health, base.metrics.registry)), stage=Stage.SUPPORT)
    return services


async def prepare(base: Foundations, services: Services, doors: Doors) -> None:
    """Make tables, indexes and topics, as soon as database and bus are there; then the services may run."""

    async def migrate() -> None:
        for tables in (ingest.migrate, routing.migrate, sending.migrate):
            await tables(base.database)

    await database_reached(base.database, migrate, base.health)
    await bus_reached(base.bus, partial(migrate_bus, base.bus), base.health)
    _schedule(base, services, doors)


def refuse_unknown_channels(configuration: Configuration) -> None:
    """Raise ConfigurationError for an account whose channel nobody here knows: it would be left out in silence."""
    known = ingest.inbound_channels()
    for entry in configuration.accounts:
        if entry.channel not in known:
            near = unknown(entry.channel, known).removeprefix("unknown key ")
            raise entry.document.mistake((*entry.path, "channel"), f"account {entry.id!r}: no channel {near}")


def _watch(base: Foundations, services: Services) -> None:
    health = base.health

    async def accounts() -> str | None:
        problems = {**services.ingest_email.problems(), **services.notifier.problems()}
        return "; ".join(f"{name}: {reason}" for name, reason in sorted(problems.items())) or None

    health.add_readiness("accounts", accounts)
    health.add_liveness("consumers", base.watch.liveness)
    health.add_liveness("parts", services.life.liveness)


def _schedule(base: Foundations, services: Services, doors: Doors) -> None:
    """Sources stop first, then who works off, then what both lean on."""
    life = services.life
    life.add("ingest-email", services.ingest_email.run, stage=Stage.INTAKE, restart=True)
    life.add("http", lambda: services.router.serve(doors.public), stage=Stage.INTAKE)
    life.add("router", services.router.run, stage=Stage.WORK)
    life.add("notifier", services.notifier.run, stage=Stage.WORK, restart=True)
    life.add("trim", lambda: _trim(base), stage=Stage.SUPPORT, restart=True)
    life.add("leases", base.leases.run, stage=Stage.SUPPORT)


async def _trim(base: Foundations) -> None:
    """Drop what every group passed two weeks ago, now and then."""
    while True:
        with contextlib.suppress(TransientError):  # the bus is watched by its own probe; the next round trims what this one could not
            await base.bus.trim()
        await asyncio.sleep(_TRIM_EVERY_SECONDS)
