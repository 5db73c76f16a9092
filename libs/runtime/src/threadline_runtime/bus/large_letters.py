"""A dead letter that is larger than its topic takes: the whole record goes into a blob, the letter keeps its small headers and names it.

The blob is one line of JSON with lengths and headers, then the key's bytes, then the value's. Not here: when it is needed (`processing`).
"""

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256

from threadline_runtime.blobs.keys import dead_letter_key
from threadline_runtime.blobs.port import BlobMissing, BlobStore
from threadline_runtime.bus.dead_letter_record import LETTER_BYTES, Headers, blob_of, named_blob, without_reasons
from threadline_runtime.bus.port import RawRecord, Received
from threadline_runtime.errors import PermanentError

__all__ = ["is_too_large", "put_aside", "whole"]

_ROOM = 64 * 1024
_A_HEADER = 10
_KEPT_HEADER, _KEPT_HEADERS = 1024, 16 * 1024


def is_too_large(letter: RawRecord) -> bool:
    """Whether a dead letter topic may refuse it, however badly it can be compressed."""
    parts = len(letter.key or b"") + len(letter.value or b"") + sum(map(_size, letter.headers))
    return parts > LETTER_BYTES - _ROOM


async def put_aside(letter: RawRecord, blobs: BlobStore) -> RawRecord:
    """The letter without its record, which is durable in a blob when this returns; a letter that names one already stays as it is."""
    if blob_of(letter.headers) is not None:
        return letter
    own, reasons = without_reasons(letter.headers)
    data = _dump(letter.key, letter.value, own)
    key = dead_letter_key(sha256(data).hexdigest())
    await blobs.put(key, data)
    short = letter.key if len(letter.key or b"") <= _KEPT_HEADER else None
    return RawRecord(letter.topic, short, b"", (*_small(own), *named_blob(reasons, key)))


async def whole(letter: Received, blobs: BlobStore) -> Received:
    """The letter with its record, read from the blob if it names one; raises PermanentError where that is gone or another."""
    key = blob_of(letter.raw_headers)
    if key is None:
        return letter
    try:
        data = await blobs.get(key)
    except (BlobMissing, ValueError):
        raise PermanentError(
            f"the record lies in the blob {key}, which is not there: is THREADLINE_BLOBS__URL that of the services?"
        ) from None
    if dead_letter_key(sha256(data).hexdigest()) != key:
        raise PermanentError(f"the blob {key} does not hold what was put there: bring it back from a backup")
    own, value, headers = _load(data)
    _, reasons = without_reasons(letter.raw_headers)
    return replace(letter, key=own, value=value, raw_headers=(*headers, *reasons[:-1]))


def _size(header: tuple[str, bytes | None]) -> int:
    name, value = header
    return len(name.encode()) + len(value or b"") + _A_HEADER


def _small(headers: Headers) -> Headers:
    """What fits beside the reasons, the last before the first: a count of redrives stands at the end."""
    kept: list[tuple[str, bytes | None]] = []
    room = _KEPT_HEADERS
    for header in reversed(headers):
        size = _size(header)
        if size <= min(_KEPT_HEADER, room):
            kept.append(header)
            room -= size
    return tuple(reversed(kept))


def _dump(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    spelled = [(name, None if each is None else b64encode(each).decode()) for name, each in headers]
    shape = {"key": _length(key), "value": _length(value), "headers": spelled}
    return b"".join((json.dumps(shape).encode(), b"\n", key or b"", value or b""))


def _load(data: bytes) -> tuple[bytes | None, bytes | None, Headers]:
    line, _, rest = data.partition(b"\n")
    shape = json.loads(line)
    headers = tuple((name, None if each is None else b64decode(each)) for name, each in shape["headers"])
    after = shape["key"] or 0
    return (
        None if shape["key"] is None else rest[:after],
        None if shape["value"] is None else rest[after:],
        headers,
    )


def _length(part: bytes | None) -> int | None:
    return None if part is None else len(part)
