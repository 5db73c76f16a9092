"""Headers of what customers sent: always a download, never run, never shown as a page of ours."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

__all__ = ["OCTETS", "Kind", "begun", "download_headers", "picture_type"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What bytes are served as."""

    media_type: str
    suffix: str


OCTETS = Kind("application/octet-stream", "")
_PICTURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), Kind("image/png", ".png")),
    (re.compile(rb"\xff\xd8\xff"), Kind("image/jpeg", ".jpg")),
    (re.compile(rb"GIF8[79]a"), Kind("image/gif", ".gif")),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), Kind("image/webp", ".webp")),
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def picture_type(first: bytes) -> Kind:
    """The kind of a picture by its first bytes; anything else is octets. What the sender called it counts for nothing."""
    return next((kind for pattern, kind in _PICTURES if pattern.match(first)), OCTETS)


def download_headers(file_name: str, size: int | None) -> dict[str, str]:
    """Headers that keep a browser from doing anything with the bytes but saving them."""
    headers = {
        "Content-Disposition": f'attachment; filename="{_UNSAFE.sub("_", file_name)}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    if size is not None:
        headers["Content-Length"] = str(size)
    return headers


async def begun(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first chunk, so that a missing blob is known before the answer begins, and all chunks."""
    first = await anext(chunks, b"")

    async def every() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return first, every()
