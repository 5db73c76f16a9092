"""Opens what a data folder holds for the verbs that read or write it beside a running `up`. `up` itself does not use this."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from threadline_runtime.errors import ConfigurationError
from threadline_runtime.opening import OpenBus, OpenDatabase, open_bus, open_database
from threadline_runtime.settings import Settings, load_settings

from threadline_cli.version import VERSION

__all__ = ["folder_settings", "opened_bus", "opened_database"]


def folder_settings(data: Path) -> Settings:
    """The environment's settings, with what they leave open lying in `data`."""
    return load_settings().in_folder(data)


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[OpenDatabase]:
    """The database while the context lasts; raises ConfigurationError where there is none yet."""
    _require(settings.database.address, "THREADLINE_DATABASE__URL")
    database = open_database(settings.database.address)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def opened_bus(settings: Settings) -> AsyncIterator[OpenBus]:
    """The bus while the context lasts; raises ConfigurationError where there is none yet."""
    _require(settings.bus.address, "THREADLINE_BUS__URL")
    bus = await open_bus(settings.bus.address, version=VERSION, security=settings.bus.security)
    try:
        yield bus
    finally:
        await bus.close()


def _require(url: str | None, variable: str) -> None:
    """A verb must not make an empty file where somebody only mistyped --data."""
    split = urlsplit(url or "")
    path = Path(unquote(split.path[1:]))
    if split.scheme == "sqlite" and not path.exists():
        raise ConfigurationError(f"there is no {path}: give the --data of `threadline up` (or {variable})")
