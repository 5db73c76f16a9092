"""Waits at the start for what lies on other machines: no process ends because a server is not up yet or refuses it.

Not here: what is waited for while a process runs (the bus and the stores try again by themselves).
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import ThreadlineError
from threadline_runtime.health import Health
from threadline_runtime.opening import OpenBus, OpenDatabase
from threadline_runtime.sqlite import SqliteDatabase

__all__ = ["bus_reached", "database_reached"]

_FIRST, _MOST = 0.5, 5.0
_log = structlog.stdlib.get_logger("threadline.process")


async def database_reached(database: OpenDatabase, step: Callable[[], Awaitable[None]], health: Health) -> None:
    """Do what needs the database (make its tables). A file that cannot be used raises at once: somebody here can help."""

    async def probed() -> None:
        await database.probe()  # a service may have nothing to make there and be refused all the same
        await step()

    await _reached("the database", probed, health, elsewhere=not isinstance(database, SqliteDatabase))


async def bus_reached(bus: OpenBus, step: Callable[[], Awaitable[None]], health: Health) -> None:
    """Do what needs the bus (make its topics), in the same way."""
    await _reached("the bus", step, health, elsewhere=not isinstance(bus, SqliteBus))


async def _reached(what: str, step: Callable[[], Awaitable[None]], health: Health, *, elsewhere: bool) -> None:
    waiting, pause = f"waits for {what}", _FIRST
    missing: str | None = waiting

    async def started() -> str | None:
        return missing

    health.add_readiness("start", started)
    while True:
        try:
            await step()
        except ThreadlineError as error:
            if not elsewhere:
                raise
            _log.warning(waiting, error_class=type(error).__name__, reason=str(error))
        else:
            missing = None
            return
        await asyncio.sleep(pause)
        pause = min(_MOST, pause * 2)
