"""Throws away attachments that no entry names: to the trash after a day, for ever a day later, back if they were named meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from threadline_runtime.blobs.port import BlobStore, StoredBlob

__all__ = ["Swept", "sweep"]

_AGE = timedelta(days=1)
_PAGE = 200

Named = Callable[[Collection[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    trashed: int
    restored: int
    deleted: int


async def sweep(store: BlobStore, prefix: str, named: Named, now: datetime) -> Swept:
    """Sweep the blobs under `prefix` (a brand and a slash); `named` answers which of some keys an entry names."""
    trashed = restored = deleted = 0
    async for page in _pages(store.trashed(), now, prefix):
        wanted = set(await named(page))
        for key in page:
            await (store.restore(key) if key in wanted else store.empty(key))
        restored += len(wanted)
        deleted += len(set(page) - wanted)
    async for page in _pages(store.stored(prefix), now, prefix):
        for key in set(page) - set(await named(page)):
            await store.trash(key)
            trashed += 1
    return Swept(trashed, restored, deleted)


async def _pages(blobs: AsyncIterator[StoredBlob], now: datetime, prefix: str) -> AsyncIterator[list[str]]:
    """Keys that are a day old, a page at a time."""
    page: list[str] = []
    async for blob in blobs:
        if blob.key.startswith(prefix) and blob.changed_at <= now - _AGE:
            page.append(blob.key)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
