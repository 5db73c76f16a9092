"""What the API is put together from: ports, and what a process knows of itself. Made once, in the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from threadline_events.commands import AnyCommand
from threadline_runtime.blobs.port import BlobStore

from router.api.feed import LiveFeed
from router.api.idempotency import IdempotencyStore
from router.api.keys import KeyStore, Randomness
from router.api.singles import Singles
from router.api.stores import UploadStore
from router.domain.documents import EntryDocument
from router.store.port import JournalStore, TimelineStore

__all__ = ["ApiParts", "CommandConflict", "CommandDesk"]


class CommandConflict(Exception):  # noqa: N818 - an answer, not a fault
    """The command's id stands for another command."""


class CommandDesk(Protocol):
    """Where commands are published and decided; the consumer of the topic finds them decided."""

    async def ask(self, command: AnyCommand) -> EntryDocument:
        """The one entry that the command left, whether done or refused; raises CommandConflict."""
        ...


@dataclass(frozen=True, slots=True)
class ApiParts:
    """Everything the API needs. `brands` are the configured ones, in order."""

    store: TimelineStore
    journal: JournalStore
    blobs: BlobStore
    keys: KeyStore
    singles: Singles
    idempotency: IdempotencyStore
    uploads: UploadStore
    commands: CommandDesk
    feed: LiveFeed
    brands: tuple[str, ...]
    now: Callable[[], datetime]
    randomness: Randomness
    body_limit: int = 2 * 1024 * 1024
    upload_limit: int = 26 * 1024 * 1024
    heartbeat_seconds: float = 15.0
    streams_a_key: int = 64
