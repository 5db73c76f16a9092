"""The blob store port; what every adapter (files now, S3 next) promises.

Not here: which blobs exist for what (`keys`), and when one is thrown away (`sweep`).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from threadline_runtime.errors import ThreadlineError

__all__ = ["BlobMissing", "BlobStore", "StoredBlob"]


class BlobMissing(ThreadlineError):  # noqa: N818 - a state of the store
    """No blob lies under this key, nor in the trash."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as a listing shows it; `changed_at` is when it was last put, or moved to the trash, by the store's clock."""

    key: str
    size: int
    changed_at: datetime


class BlobStore(Protocol):
    """Bytes under keys. Reads look in the trash too. Every method raises TransientError when the store cannot be used now."""

    async def put(self, key: str, data: bytes) -> None:
        """Store; returns when it is durable. What lay under the key is replaced in one step, and its age starts anew."""
        ...

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file without loading it; the file at `path` is gone afterwards."""
        ...

    async def get(self, key: str) -> bytes:
        """The whole blob; raises BlobMissing."""
        ...

    def chunks(self, key: str) -> AsyncIterator[bytes]:
        """The blob in pieces of bounded size; raises BlobMissing."""
        ...

    async def size(self, key: str) -> int:
        """Its length in bytes; raises BlobMissing."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether it can be read."""
        ...

    def stored(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """All blobs whose key begins so, without the trash."""
        ...

    def trashed(self) -> AsyncIterator[StoredBlob]:
        """All blobs in the trash, under their original keys."""
        ...

    async def trash(self, key: str) -> None:
        """Move to the trash; one that is not there is no error."""
        ...

    async def restore(self, key: str) -> None:
        """Move back from the trash, unless the key was put again meanwhile; one that is not there is no error."""
        ...

    async def delete(self, key: str) -> None:
        """Delete for ever, from the trash as well (an erasure); one that is not there is no error."""
        ...

    async def empty(self, key: str) -> None:
        """Delete for ever what lies in the trash under this key, and only there."""
        ...

    async def probe(self) -> None:
        """Answer whether a blob can be written now; raises TransientError if not."""
        ...
