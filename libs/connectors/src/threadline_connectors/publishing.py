"""The one place where payloads reach the bus: blobs, then events, then the intake (P1).

Not here: retry; who calls keeps the payload until this has returned.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from threadline_events.inbound import RawPayload
from threadline_events.intakes import Intake
from threadline_events.records import Record, intake_record
from threadline_runtime.blobs.keys import attachment_key, raw_key
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.port import Bus
from threadline_runtime.failpoints import failpoint

from threadline_connectors.cutting import BlobWrite, cut_to_size
from threadline_connectors.errors import PayloadError
from threadline_connectors.pollers import Reading
from threadline_connectors.said import Content, Media
from threadline_connectors.stamping import Stamp, stamp

__all__ = ["MAX_INLINE_RAW", "IntakePublisher", "Taken", "describe_raw", "take"]

MAX_INLINE_RAW = 512 * 1024
"""A payload above this stands in a blob, named by the intake."""
_BLOBS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Taken:
    """One payload, read and stamped, ready for the bus."""

    stamp: Stamp
    raw: Content
    records: tuple[Record, ...]
    media: tuple[Media, ...]
    texts: tuple[BlobWrite, ...]
    rejection: PayloadError | None


def take(reading: Reading, raw: Content, by: Stamp) -> Taken:
    """Stamp what one payload says; what cannot be made into events becomes a rejected intake, its payload kept."""
    if reading.rejection is not None:
        return Taken(by, raw, (), (), (), reading.rejection)
    try:
        fitted = [cut_to_size(event) for event in stamp(reading.said, by)]
    except PayloadError as error:
        return Taken(by, raw, (), (), (), error)
    except Exception as error:
        return Taken(by, raw, (), (), (), PayloadError("connector_fault", f"its events cannot be made: {type(error).__name__}"))
    media = tuple(one for said in reading.said for one in said.media)
    return Taken(by, raw, tuple(fit.record for fit in fitted), media, tuple(blob for fit in fitted for blob in fit.blobs), None)


class IntakePublisher:
    """Writes payloads and everything read from them; when `publish` returns all of it is durable."""

    def __init__(self, bus: Bus, blobs: BlobStore) -> None:
        self._bus = bus
        self._blobs = blobs
        self._slots = asyncio.Semaphore(_BLOBS_AT_ONCE)

    async def publish(self, taken: Sequence[Taken]) -> None:
        """Publish a batch in its order. Raises TransientError; then the same batch is published again under the same ids."""
        intakes = [_intake(one) for one in taken]
        # Each key once: two equal attachments of a mail stand in the same spool file.
        blobs = {key: content for one, intake in zip(taken, intakes, strict=True) for key, content in _blobs(one, intake)}
        writes = [self._put(key, content) for key, content in blobs.items()]
        # All writes end before the first error is raised: a repeat must not meet a write of its own that still runs.
        for result in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        await failpoint("connectors.publisher.after_blobs")
        await self._bus.publish([record for one in taken for record in one.records], then=[intake_record(intake) for intake in intakes])
        await failpoint("connectors.publisher.after_publish")

    async def _put(self, key: str, content: Content) -> None:
        async with self._slots:
            if isinstance(content, bytes):
                await self._blobs.put(key, content)
            elif await asyncio.to_thread(content.exists):
                await self._blobs.put_file(key, content)
            # A file that is gone was moved into its blob by an earlier try of this batch.
            elif not await self._blobs.exists(key):
                raise FileNotFoundError(f"the spool file of {key} is gone")


def _blobs(one: Taken, intake: Intake) -> Iterator[tuple[str, Content]]:
    for text in one.texts:
        yield text.key, text.data
    for media in one.media:
        if media.content is not None and media.sha256 is not None:
            yield attachment_key(one.stamp.brand, media.sha256), media.content
    if intake.blob is not None:
        yield intake.blob, one.raw


def _intake(one: Taken) -> Intake:
    by = one.stamp
    if by.intake_id is None or by.received_at is None or by.raw is None:
        raise ValueError("an intake to publish needs an id, a time and its payload")
    intake = Intake(
        intake_id=by.intake_id,
        event_count=len(one.records),
        channel=by.channel,
        account_id=by.account_id,
        brand=by.brand,
        received_at=by.received_at,
        origin=by.origin,
        media_type=by.raw.media_type,
        raw=one.raw if isinstance(one.raw, bytes) else b"",
        blob=raw_key(by.intake_id) if isinstance(one.raw, Path) or len(one.raw) > MAX_INLINE_RAW else None,
    )
    if intake.blob is not None:
        intake = replace(intake, raw=b"")
    if one.rejection is not None:
        return replace(intake, outcome="rejected", reason=one.rejection.code)
    if not one.records:
        return replace(intake, outcome="ignored", reason="says_nothing")
    return intake


def describe_raw(raw: Content, size: int, media_type: str) -> RawPayload:
    """Hash and size of a payload; a file is read in pieces."""
    if isinstance(raw, bytes):
        return RawPayload(sha256=hashlib.sha256(raw).hexdigest(), size=size, media_type=media_type)
    with raw.open("rb") as file:
        return RawPayload(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=size, media_type=media_type)
