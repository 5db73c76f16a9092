"""The journal of intakes: what was taken in, kept apart from what the pipeline makes of it, so that each can be checked by the other.

A payload of up to 64 KiB lies in the journal, a larger one in a blob. Not here: anything of the pipeline.
"""

from collections.abc import Sequence

from threadline_events.intakes import Intake
from threadline_events.records import intake_of
from threadline_runtime.blobs.keys import raw_key
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.port import Message, Received
from threadline_runtime.failpoints import failpoint

from router.store.port import JournalRow, JournalStore

__all__ = ["Journal", "read_intake"]

_INLINE = 64 * 1024


def read_intake(record: Received) -> Intake:
    """The intake in a record; raises RecordError."""
    return intake_of(record.value or b"", record.headers)


class Journal:
    """Writes intakes down."""

    def __init__(self, store: JournalStore, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs

    async def handle(self, batch: Sequence[Message[Intake]]) -> None:
        """A batch from the bus: large payloads to blobs first, then the rows."""
        rows = [await self._row(message.body) for message in batch]
        await failpoint("router.journal.before_rows")
        await self._store.add(rows)
        await failpoint("router.journal.after_rows")

    async def _row(self, intake: Intake) -> JournalRow:
        blob, raw = intake.blob, intake.raw if intake.blob is None else None
        size = len(intake.raw)
        if blob is not None:
            size = await self._blobs.size(blob)
        elif size > _INLINE:
            blob, raw = raw_key(intake.intake_id), None
            await self._blobs.put(blob, intake.raw)
            await failpoint("router.journal.after_blob")
        return JournalRow(
            intake_id=intake.intake_id,
            account_id=intake.account_id,
            channel=intake.channel,
            brand=intake.brand,
            received_at=intake.received_at,
            event_count=intake.event_count,
            origin=intake.origin,
            media_type=intake.media_type,
            raw=raw,
            blob=blob,
            size=size,
            outcome=intake.outcome,
            reason=intake.reason,
        )
