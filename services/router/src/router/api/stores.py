"""The API's own stores as ports: what was uploaded by whom. Keys and idempotency have theirs beside what they mean.

Not here: the timeline (the router's `TimelineStore`), the bytes of attachments (blobs).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from threadline_events.inbound import Attachment

__all__ = ["Upload", "UploadStore", "described"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that an API key brought for a brand, to be named by a reply or note."""

    brand: str
    sha256: str
    key_id: str
    size: int
    media_type: str
    file_name: str | None
    at: datetime


class UploadStore(Protocol):
    """Who uploaded what."""

    async def add(self, upload: Upload) -> None:
        """Keep it; the same file by the same key again changes its name and type."""
        ...

    async def uploads(self, brand: str, sha256s: Iterable[str]) -> tuple[Upload, ...]:
        """Uploads of these files for a brand, newest last."""
        ...

    async def brands_uploaded_to(self, key_id: str, sha256: str) -> frozenset[str]:
        """The brands for which this key uploaded the file."""
        ...


def described(store: UploadStore) -> Callable[[str, Iterable[str]], Awaitable[Mapping[str, Attachment]]]:
    """The look-up by which the router makes attachments of the hashes that a reply names."""

    async def look_up(brand: str, sha256s: Iterable[str]) -> Mapping[str, Attachment]:
        return {
            one.sha256: Attachment(sha256=one.sha256, size=one.size, media_type=one.media_type, file_name=one.file_name)
            for one in await store.uploads(brand, sha256s)
        }

    return look_up
