"""What only a data folder of one's own gives to all services in one process: its lock file, keys made by itself, room to spool.

Not here: what every process opens (`threadline_runtime.foundations`), the services (`composition`), how long they run (`up`).
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.foundations import Foundations, Process, laid
from threadline_runtime.lockfile import DataLock
from threadline_runtime.settings import Settings
from threadline_runtime.signing import SigningKeys, create_signing_keys, load_signing_keys

from threadline_cli.version import VERSION

__all__ = ["DataFolder", "opened", "signing_keys"]


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Locked and open. `spool` is a folder for this process alone."""

    base: Foundations
    signing: SigningKeys
    spool: Path


@asynccontextmanager
async def opened(data: Path, settings: Settings, configuration: Configuration) -> AsyncIterator[DataFolder]:
    """Lock the folder and open everything; let go of it in reverse order. Raises ConfigurationError, or TransientError on a full disk."""
    async with AsyncExitStack() as stack:
        lock = DataLock.take(data)
        stack.callback(lock.release)
        signing = signing_keys(data, settings)
        # The lock file proves that nobody else runs on this folder, so what a dead predecessor held is free.
        process = Process("threadline", VERSION, f"up-{os.getpid()}-{secrets.token_hex(4)}", sole=True)
        base = await stack.enter_async_context(laid(process, settings, configuration, os.environ))
        yield DataFolder(base, signing, data / "spool")


def signing_keys(data: Path, settings: Settings) -> SigningKeys:
    """The keys that the settings name; those of the data folder are made when they are missing."""
    if settings.signing_keys is None:
        raise ConfigurationError("THREADLINE_SIGNING_KEYS is not set: file:/path of a file with one key a line, in hex")
    own = data.absolute() / "signing.keys"
    if settings.signing_keys == f"file:{own}":
        create_signing_keys(own)
    return load_signing_keys(settings.signing_keys, os.environ)
