"""Opens what the settings' URLs name. The only place that knows which adapters there are."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.processing import ConsumerWatch
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.sqlite import MEMORY, SqliteDatabase

__all__ = ["open_blobs", "open_bus", "open_database"]


async def open_bus(url: str | None, *, version: str, watch: ConsumerWatch | None = None) -> SqliteBus:
    """The bus of `THREADLINE_BUS__URL`; raises ConfigurationError."""
    return await SqliteBus.open(SqliteDatabase.open(_sqlite_path("THREADLINE_BUS__URL", url)), version=version, watch=watch)


def open_database(url: str | None) -> SqliteDatabase:
    """The database of `THREADLINE_DATABASE__URL`; raises ConfigurationError."""
    return SqliteDatabase.open(_sqlite_path("THREADLINE_DATABASE__URL", url))


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
        raise ConfigurationError(f"{variable}: cannot use {_shown(url)}: write sqlite:///path/of/a/file.db")
    if path == MEMORY:
        return MEMORY
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"{variable}: cannot make the folder of {path}: {error.strerror}") from error
    return path


def _shown(url: str | None) -> str:
    """A URL without a password that may stand in it."""
    return f"{urlsplit(url).scheme or url}://..." if url else "nothing (it is not set)"
