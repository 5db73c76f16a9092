"""Routes of attachments: bring a file, fetch one. A file answers only to keys that may read an entry naming it, or that brought it."""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Path, Query, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from threadline_runtime.blobs.keys import attachment_key
from threadline_runtime.blobs.port import BlobMissing

from router.api.access import Identified, PartsOf, ReaderKey, ReadingFor, WriterKey, brand_asked
from router.api.downloads import begun, download_headers, picture_type
from router.api.keys import ApiKey
from router.api.models import AttachmentView
from router.api.parts import ApiParts
from router.api.problems import Problem, not_found
from router.api.stores import Upload

__all__ = ["nameable", "router"]

router = APIRouter(prefix="/v1/attachments", tags=["attachments"])
Sha = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_CHUNK = 256 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f/\\]+")


class _Brought(BaseModel):
    sha256: str
    file_name: str | None
    media_type: str


async def nameable(parts: ApiParts, key: ApiKey, brand: str, sha256s: Iterable[str]) -> None:
    """Raise Problem 422 unless the key brought each file for the brand."""
    for sha256 in dict.fromkeys(sha256s):
        if brand not in await parts.uploads.brands_uploaded_to(key.key_id, sha256):
            raise Problem(422, "unknown_attachment", "There is no such attachment for this brand: upload it first.")


@router.post("", status_code=201)
async def post_attachment(
    parts: PartsOf, key: WriterKey, identify: Identified, file: UploadFile, brand: Annotated[str | None, Query(max_length=200)] = None
) -> AttachmentView:
    """Bring a file, as `multipart/form-data` with one part `file`. `brand` may be left out where the key sees one only."""
    brand = brand_asked(parts, key, brand)
    size, sha256, path = await asyncio.to_thread(_spooled, file.file)
    try:
        media_type = file.content_type if file.content_type and _MEDIA_TYPE.fullmatch(file.content_type) else "application/octet-stream"
        name = _CONTROL.sub(" ", file.filename or "").strip()[:255] or None
        await identify("upload", brand, _Brought(sha256=sha256, file_name=name, media_type=media_type))
        await parts.blobs.put_file(attachment_key(brand, sha256), path)
    finally:
        path.unlink(missing_ok=True)
    await parts.uploads.add(Upload(brand, sha256, key.key_id, size, media_type, name, parts.now()))
    return AttachmentView(sha256=sha256, size=size, media_type=media_type, file_name=name, brand=brand)


def _spooled(source: BinaryIO) -> tuple[int, str, FilePath]:
    """A copy of the upload as a file of its own, its size and hash."""
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(delete=False, prefix="threadline-upload-") as target:
        source.seek(0)
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    return size, digest.hexdigest(), FilePath(target.name)


@router.get("/{sha256}", response_class=StreamingResponse)
async def get_attachment(parts: PartsOf, key: ReaderKey, reading: ReadingFor, sha256: Sha) -> StreamingResponse:
    """Fetch a file, always as a download. Its type is named only where the bytes are those of a picture."""
    brands = await reading.may_read_attachment(sha256)
    brands |= {one for one in await parts.uploads.brands_uploaded_to(key.key_id, sha256) if key.sees(one)}
    for brand in sorted(brands):
        blob = attachment_key(brand, sha256)
        try:
            size = await parts.blobs.size(blob)
            first, body = await begun(parts.blobs.chunks(blob))
        except BlobMissing:
            continue
        kind = picture_type(first)
        return StreamingResponse(body, media_type=kind.media_type, headers=download_headers(f"{sha256[:16]}{kind.suffix}", size))
    raise not_found("attachment")
