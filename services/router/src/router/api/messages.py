"""Routes of single messages: the entry, the untouched payload, why it is where it is, each attempt to deliver, retry and confirm."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse
from threadline_events.commands import ConfirmMessage, RetryMessage
from threadline_events.timeline import Entry
from threadline_runtime.blobs.port import BlobMissing

from router.api.access import Identified, PartsOf, ReadingFor, WriterKey
from router.api.downloads import begun, download_headers
from router.api.models import Attempts, AttemptView, Explanation
from router.api.parts import ApiParts
from router.api.presenting import safe_all, whole
from router.api.problems import Problem, not_found
from router.api.reading import Reading
from router.api.refusals import done
from router.domain.documents import EntryDocument
from router.store.port import JournalRow

__all__ = ["router"]

router = APIRouter(prefix="/v1/messages", tags=["messages"])
MessageId = Annotated[str, Path(max_length=64)]
_WHOLE_MESSAGE = 64 * 1024 * 1024


async def _found(reading: Reading, message_id: str) -> EntryDocument:
    document = await reading.document(message_id)
    if document is None:
        raise not_found("message")
    return document


@router.get("/{message_id}")
async def get_message(parts: PartsOf, reading: ReadingFor, message_id: MessageId) -> Entry:
    """One entry, with all of its text."""
    entry = await reading.entry(await _found(reading, message_id))
    return (await safe_all(await whole([entry], parts.blobs, _WHOLE_MESSAGE)))[0]


@router.get("/{message_id}/raw", response_class=StreamingResponse)
async def get_raw(parts: PartsOf, reading: ReadingFor, message_id: MessageId) -> StreamingResponse:
    """The untouched payload that the message came in, always as a download."""
    document = await _found(reading, message_id)
    row = await _journalled(parts, document)
    suffix = ".eml" if document.channel == "email" else ".bin"
    headers = download_headers(message_id + suffix, row.size)
    media_type = "message/rfc822" if document.channel == "email" else "application/octet-stream"
    return StreamingResponse(await _payload(parts, row), media_type=media_type, headers=headers)


async def _journalled(parts: ApiParts, document: EntryDocument) -> JournalRow:
    """The first intake of the message that the journal holds."""
    for ref in dict.fromkeys((*([document.made] if document.made else []), *document.intakes)):
        row = await parts.journal.intake(ref.intake_id)
        if row is not None and row.brand == document.brand:
            return row
    if document.direction == "inbound" and document.intakes:
        raise Problem(404, "not_journalled", "The payload is not in the journal: either not yet, or it was erased.")
    raise Problem(404, "no_payload", "This message did not come in a payload.")


async def _payload(parts: ApiParts, row: JournalRow) -> AsyncIterator[bytes]:
    if row.blob is None:
        return _once(row.raw or b"")
    try:
        return (await begun(parts.blobs.chunks(row.blob)))[1]
    except BlobMissing as error:
        raise Problem(410, "erased", "The payload is no longer kept.") from error


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


@router.get("/{message_id}/explain")
async def get_explanation(reading: ReadingFor, message_id: MessageId) -> Explanation:
    """Which rules and inputs put the message where it is, as stored with the decision."""
    document = await _found(reading, message_id)
    entry = await reading.entry(document)
    return Explanation(
        message_id=message_id,
        brand=document.brand,
        strand_id=document.strand_id,
        conversation_id=entry.conversation_id,
        party=document.party,
        rules=document.why,
        made_by=document.made,
        intakes=document.intakes,
        command_id=document.command_id,
    )


@router.get("/{message_id}/deliveries")
async def get_deliveries(reading: ReadingFor, message_id: MessageId) -> Attempts:
    """Each attempt to deliver what we sent, with every provider call."""
    document = await _found(reading, message_id)
    return Attempts(
        items=tuple(
            AttemptView(
                attempt=one.number,
                state=one.rank.state,
                reason=one.reason,
                external_ids=one.external_ids,
                queued_at=one.queued_at,
                tries=one.tries,
            )
            for one in document.attempts
        )
    )


@router.post("/{message_id}/retry", status_code=202)
async def retry(parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, message_id: MessageId) -> Entry:
    """Send a failed or uncertain message again, as the next attempt."""
    return await _ask(parts, key, reading, identify, message_id, RetryMessage)


@router.post("/{message_id}/confirm")
async def confirm(parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, message_id: MessageId) -> Entry:
    """Record that an uncertain message did arrive."""
    return await _ask(parts, key, reading, identify, message_id, ConfirmMessage)


async def _ask(
    parts: ApiParts, key: WriterKey, reading: Reading, identify: Identified, message_id: str, kind: type[RetryMessage | ConfirmMessage]
) -> Entry:
    document = await _found(reading, message_id)
    if document.direction != "outbound":
        raise Problem(409, "not_outbound", "Only a message that we sent can be sent again or confirmed.")
    identity = await identify(kind.__name__, message_id, None)
    command = kind(
        command_id=identity.command_id(kind.__name__),
        fingerprint=identity.fingerprint,
        brand=document.brand,
        conversation_id=document.strand_id,
        actor=key.actor(),
        issued_at=parts.now(),
        message_id=message_id,
    )
    await done(parts.commands, command)
    return (await safe_all([await reading.entry(await _found(reading, message_id))]))[0]
