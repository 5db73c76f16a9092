"""Opens what the settings' URLs name. The only place that knows which adapters there are."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.dead_letter_notes import SqliteDeadLetterNotes
from threadline_runtime.bus.processing import ConsumerWatch
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.secrets import shown_url
from threadline_runtime.settings import BusSecurity
from threadline_runtime.sqlite import MEMORY, SqliteDatabase

if TYPE_CHECKING:
    from threadline_runtime.bus.kafka import KafkaBus
    from threadline_runtime.bus.mongo_dead_letter_notes import MongoDeadLetterNotes
    from threadline_runtime.leases.mongo import MongoLeaseStore
    from threadline_runtime.mongo import MongoDatabase

__all__ = [
    "OpenBus",
    "OpenDatabase",
    "dead_letter_notes_of",
    "lease_store_of",
    "migrate_bus",
    "open_blobs",
    "open_bus",
    "open_database",
    "probe_bus",
]

_BUS = "THREADLINE_BUS__URL"
_DATABASE = "THREADLINE_DATABASE__URL"
_OTHERS = {_BUS: " or kafka://host:9092,host:9092", _DATABASE: " or mongodb://host:27017/threadline"}

OpenBus: TypeAlias = "SqliteBus | KafkaBus"
"""The `Bus` port, and the upkeep that a process does beside it."""
OpenDatabase: TypeAlias = "SqliteDatabase | MongoDatabase"
"""What every store is made over; each service chooses its adapters by the kind, in one place. Both can `probe` and `close`."""


async def open_bus(
    url: str | None,
    *,
    version: str,
    watch: ConsumerWatch | None = None,
    security: BusSecurity | None = None,
    blobs: BlobStore | None = None,
) -> OpenBus:
    """The bus of `THREADLINE_BUS__URL`; raises ConfigurationError. A Kafka that is away is no error here: `probe` says so.

    Who consumes gives `blobs`, for dead letters that are too large.
    """
    if urlsplit(url or "").scheme == "kafka":
        # Loaded only where it is used: who runs on SQLite starts faster and needs less memory without Kafka's clients.
        from threadline_runtime.bus.kafka import KafkaBus

        return KafkaBus.open(str(url), security=security, version=version, watch=watch, blobs=blobs)
    return await SqliteBus.open(SqliteDatabase.open(_sqlite_path(_BUS, url)), version=version, watch=watch, blobs=blobs)


async def migrate_bus(bus: OpenBus) -> None:
    """Make the topics of Kafka; SQLite makes its tables when it is opened. Raises TransientError, ConfigurationError."""
    if not isinstance(bus, SqliteBus):
        await bus.migrate()


async def probe_bus(bus: OpenBus) -> None:
    """Whether it can be used, with all topics there that `migrate_bus` makes; raises what says why not."""
    await bus.probe()
    if not isinstance(bus, SqliteBus):
        await bus.require_topics()


def open_database(url: str | None) -> OpenDatabase:
    """The database of `THREADLINE_DATABASE__URL`; raises ConfigurationError. A MongoDB that is away is no error here: `probe` says so."""
    if urlsplit(url or "").scheme in {"mongodb", "mongodb+srv"}:
        from threadline_runtime.mongo import MongoDatabase

        return MongoDatabase.open(str(url))
    return SqliteDatabase.open(_sqlite_path(_DATABASE, url))


def lease_store_of(database: OpenDatabase) -> "SqliteLeaseStore | MongoLeaseStore":
    """The leases that lie in it."""
    if isinstance(database, SqliteDatabase):
        return SqliteLeaseStore(database)
    from threadline_runtime.leases.mongo import MongoLeaseStore

    return MongoLeaseStore(database)


def dead_letter_notes_of(database: OpenDatabase) -> "SqliteDeadLetterNotes | MongoDeadLetterNotes":
    """The notes on dead letters that lie in it."""
    if isinstance(database, SqliteDatabase):
        return SqliteDeadLetterNotes(database)
    from threadline_runtime.bus.mongo_dead_letter_notes import MongoDeadLetterNotes

    return MongoDeadLetterNotes(database)


def open_blobs(url: str | None) -> FileBlobs:
    """The blob store of `THREADLINE_BLOBS__URL`; raises ConfigurationError."""
    split = urlsplit(url or "")
    if split.scheme != "file" or split.netloc or not split.path:
        raise ConfigurationError(f"THREADLINE_BLOBS__URL: cannot use {_shown(url)}: write file:///path/of/a/folder")
    return FileBlobs.open(Path(unquote(split.path)))


def _sqlite_path(variable: str, url: str | None) -> str:
    """`sqlite:///data/a.db` is relative, `sqlite:////data/a.db` absolute, `sqlite:///:memory:` in memory; the folder is made."""
    split = urlsplit(url or "")
    path = unquote(split.path[1:])
    if split.scheme != "sqlite" or not split.path.startswith("/") or split.netloc or not path:
        raise ConfigurationError(f"{variable}: cannot use {_shown(url)}: write sqlite:///path/of/a/file.db{_OTHERS[variable]}")
    if path == MEMORY:
        return MEMORY
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"{variable}: cannot make the folder of {path}: {error.strerror}") from error
    return path


def _shown(url: str | None) -> str:
    return shown_url(url) if url else "nothing (it is not set)"
