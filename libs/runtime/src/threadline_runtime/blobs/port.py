"""The blob store port; what every adapter (files now, S3 next) promises.

Not here: which blobs exist for what (`keys`), and throwing away: nothing does (ADR 0004).
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from threadline_runtime.errors import ThreadlineError

__all__ = ["BlobMissing", "BlobStore"]


class BlobMissing(ThreadlineError):  # noqa: N818 - a state of the store
    """No blob lies under this key."""


class BlobStore(Protocol):
    """Bytes under keys. Every method raises TransientError when the store cannot be used now."""

    async def put(self, key: str, data: bytes) -> None:
        """Store; returns when it is durable. What lay under the key is replaced in one step."""
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

    async def probe(self) -> None:
        """Answer whether a blob can be written now; raises TransientError if not."""
        ...
