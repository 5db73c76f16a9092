"""One service as a process of its own: `python -m <package> [migrate]`, from its settings to its exit status.

Not here: what the service is (`app` of each), and all of them in one process (`threadline up`).
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.errors import ConfigurationError, ThreadlineError
from threadline_runtime.failpoints import arm_failpoints
from threadline_runtime.foundations import Foundations, Process, laid
from threadline_runtime.garbage import look_rarely
from threadline_runtime.health import LoopBeat
from threadline_runtime.http import HttpServer
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.logging import configure_logging
from threadline_runtime.opening import OpenDatabase, migrate_bus, open_bus, open_database
from threadline_runtime.ops import ops_app
from threadline_runtime.settings import Settings, load_settings
from threadline_runtime.starting import database_reached

__all__ = ["ServiceProcess", "run_process"]


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service as its own process. `package` is its import name, `distribution` what carries its version.

    `built` puts the service on its foundations: adds its parts to the lifecycle and its state to the health, and lets go at the end.
    """

    package: str
    distribution: str
    migrate: Callable[[OpenDatabase], Awaitable[None]]
    built: Callable[[Foundations, Lifecycle], AbstractAsyncContextManager[None]]


def run_process(service: ServiceProcess, arguments: list[str]) -> int:
    """Run until stopped, or migrate and end. The status: 0 done, 1 a part died, 2 wrong use or configuration."""
    if arguments not in ([], ["migrate"]):
        sys.stderr.write(f"use: python -m {service.package} [migrate]\n")
        return 2
    try:
        settings = load_settings()
        configure_logging(settings.log, service=service.package, version=version(service.distribution))
        arm_failpoints(os.environ)
        asyncio.run(_migrate(service, settings) if arguments else _run(service, settings))
    except ThreadlineError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


async def _migrate(service: ServiceProcess, settings: Settings) -> None:
    database = open_database(settings.database.address)
    try:
        await service.migrate(database)
    finally:
        await database.close()
    bus = await open_bus(settings.bus.address, version=version(service.distribution), security=settings.bus.security)
    try:
        await migrate_bus(bus)
    finally:
        await bus.close()


async def _run(service: ServiceProcess, settings: Settings) -> None:
    configuration = load_configuration(Path(os.environ.get("THREADLINE_CONFIG", "threadline.yaml")))
    holder = f"{service.package}-{os.getpid()}-{secrets.token_hex(8)}"
    process = Process(service.package, version(service.distribution), holder)
    look_rarely()
    ops = HttpServer.claim(settings.ops.host, settings.ops.port, option="THREADLINE_OPS__PORT")
    async with laid(process, settings, configuration, os.environ) as base, AsyncExitStack() as stack:
        beat, life = LoopBeat(time.monotonic), Lifecycle(on_stop=base.health.drain)
        base.health.add_liveness("loop", beat.liveness)
        base.health.add_liveness("parts", life.liveness)
        base.health.add_liveness("consumers", base.watch.liveness)

        async def prepare() -> None:
            await database_reached(base.database, partial(service.migrate, base.database), base.health)
            await stack.enter_async_context(service.built(base, life))
            life.add("leases", base.leases.run, stage=Stage.SUPPORT)

        life.add("ops", lambda: ops.serve(ops_app(base.health, base.metrics.registry)), stage=Stage.SUPPORT)
        life.add("beat", beat.run, stage=Stage.SUPPORT)
        life.add("outages", base.health.tell, stage=Stage.SUPPORT)
        await life.run(prepare)
