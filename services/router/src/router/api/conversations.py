"""Routes of conversations: list, one, its timeline, and what an agent does to it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from threadline_events.commands import AddNote, AnyCommand, Assign, Reopen, Resolve, SendReply, Snooze
from threadline_events.timeline import Conversation, Entry

from router.api.access import Identified, PartsOf, ReadingFor, WriterKey
from router.api.attachments import nameable
from router.api.idempotency import RequestIdentity
from router.api.keys import ApiKey
from router.api.models import ConversationChange, ConversationDetail, ConversationItem, ConversationPage, EntryPageView, NewNote, NewReply
from router.api.pages import After, Limit, Order, activity_cursor, activity_place, cut, entry_cursor, walk_of
from router.api.parts import ApiParts
from router.api.presenting import safe_all, whole
from router.api.problems import Problem, not_found
from router.api.reading import ListQuery, Reading
from router.api.refusals import done, refused
from router.domain.strands import decode_as_of, encode_as_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])
ConversationId = Annotated[str, Path(max_length=64)]
Text = Annotated[str | None, Query(max_length=200)]
Include = Annotated[Literal["preview"] | None, Query(description="`preview`: the newest words of each.")]


@router.get("")
async def list_conversations(
    reading: ReadingFor,
    status: Annotated[Literal["open", "snoozed", "resolved"] | None, Query()] = None,
    brand: Text = None,
    channel: Text = None,
    contact_id: Text = None,
    q: Annotated[str | None, Query(max_length=200, description="Words of the subject, a text or an address.")] = None,
    include: Include = None,
    limit: Limit = 50,
    after: After = None,
) -> ConversationPage:
    """Conversations, newest activity first."""
    words = q.strip() if q is not None else None
    query = ListQuery(status, brand, channel, contact_id, words or None, activity_place(after), limit + 1)
    found, following = cut(await reading.conversations(query), limit, activity_cursor)
    briefs = await reading.briefs(found)
    items = [
        ConversationItem(**dict(one), contact=briefs[one.contact_id], preview=await reading.preview(one) if include else None)
        for one in found
    ]
    return ConversationPage(items=tuple(items), next=following)


async def _found(reading: Reading, conversation_id: str) -> Conversation:
    conversation = await reading.conversation(conversation_id)
    if conversation is None:
        raise not_found("conversation")
    return conversation


async def _detail(reading: Reading, conversation_id: str, include: str | None = None) -> ConversationDetail:
    conversation = await _found(reading, conversation_id)
    contact = await reading.contact(conversation.contact_id)
    if contact is None:
        raise not_found("conversation")
    participants = await reading.participants(conversation, contact)
    preview = await reading.preview(conversation) if include else None
    return ConversationDetail(**dict(conversation), contact=contact, participants=participants, preview=preview)


@router.get("/{conversation_id}")
async def get_conversation(reading: ReadingFor, conversation_id: ConversationId, include: Include = None) -> ConversationDetail:
    """A conversation with its customer. An id that has joined another conversation answers that one."""
    return await _detail(reading, conversation_id, include)


@router.get("/{conversation_id}/timeline")
async def get_timeline(
    parts: PartsOf, reading: ReadingFor, conversation_id: ConversationId, order: Order = "asc", limit: Limit = 50, after: After = None
) -> EntryPageView:
    """Its entries in timeline order. What arrives late before the cursor is seen by the stream, not by the walk."""
    conversation = await _found(reading, conversation_id)
    entries = await reading.conversation_entries(conversation, walk_of(order, after, limit))
    page, following = cut(entries, limit, entry_cursor(order))
    return EntryPageView(items=tuple(await safe_all(await whole(page, parts.blobs))), next=following)


def _command(
    parts: ApiParts, key: ApiKey, identity: RequestIdentity, name: str, conversation: Conversation, asked_id: str
) -> dict[str, Any]:
    """What every command on a conversation carries: the id that was asked for, so that the same request is decided in the same contact."""
    return {
        "command_id": identity.command_id(name),
        "fingerprint": identity.fingerprint,
        "brand": conversation.brand,
        "conversation_id": asked_id,
        "actor": key.actor(),
        "issued_at": parts.now(),
    }


@router.post("/{conversation_id}/replies", status_code=202)
async def post_reply(
    parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, conversation_id: ConversationId, body: NewReply
) -> Entry:
    """Answer the customer on the channel that the answered message came from; the entry is stored and queued."""
    conversation = await _found(reading, conversation_id)
    await _answerable(reading, conversation, body)
    await nameable(parts, key, conversation.brand, body.attachments)
    identity = await identify("reply", conversation_id, body)
    command = SendReply(**_command(parts, key, identity, "reply", conversation, conversation_id), **body.model_dump())
    return await _stored(parts, reading, command)


async def _answerable(reading: Reading, conversation: Conversation, body: NewReply) -> None:
    """A message named to be answered must be one that the key may see, of the same brand."""
    if body.in_reply_to is None:
        return
    named = await reading.document(body.in_reply_to)
    if named is None or named.brand != conversation.brand:
        raise not_found("message to answer")


async def _stored(parts: ApiParts, reading: Reading, command: AnyCommand) -> Entry:
    document = await done(parts.commands, command)
    return (await safe_all([await reading.entry(document)]))[0]


@router.post("/{conversation_id}/notes", status_code=201)
async def post_note(
    parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, conversation_id: ConversationId, body: NewNote
) -> Entry:
    """Write an internal note; customers never see it."""
    conversation = await _found(reading, conversation_id)
    await nameable(parts, key, conversation.brand, body.attachments)
    identity = await identify("note", conversation_id, body)
    command = AddNote(**_command(parts, key, identity, "note", conversation, conversation_id), **body.model_dump())
    return await _stored(parts, reading, command)


@router.patch("/{conversation_id}")
async def patch_conversation(
    parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, conversation_id: ConversationId, body: ConversationChange
) -> ConversationDetail:
    """Assign, snooze, resolve or reopen. Resolving what the customer has written to since `as_of` answers 409 `newer_message`."""
    conversation = await _found(reading, conversation_id)
    if body.snoozed_until is not None and body.snoozed_until <= parts.now():
        raise Problem(422, "snooze_in_the_past", "snoozed_until must lie in the future.")
    _readable(body.as_of)
    identity = await identify("change", conversation_id, body)
    for name, more in _changes(conversation, body):
        await done(parts.commands, name(**_command(parts, key, identity, name.__name__, conversation, conversation_id), **more))
    return await _detail(reading, conversation_id)


def _readable(as_of: str | None) -> None:
    """Raise Problem 422 before anything is asked for."""
    try:
        decode_as_of(as_of or encode_as_of(()))
    except ValueError as error:
        raise refused("as_of_unreadable") from error


def _changes(conversation: Conversation, body: ConversationChange) -> list[tuple[type[Assign | Snooze | Resolve | Reopen], dict[str, Any]]]:
    """The commands that a change asks for: the status first, since only that may be refused; then nothing else was done."""
    changes: list[tuple[type[Assign | Snooze | Resolve | Reopen], dict[str, Any]]] = []
    if body.snoozed_until is not None:
        changes.append((Snooze, {"until": body.snoozed_until, "as_of": body.as_of or conversation.as_of}))
    elif body.status == "resolved":
        changes.append((Resolve, {"as_of": body.as_of or conversation.as_of}))
    elif body.status == "open":
        changes.append((Reopen, {}))
    if "assignee" in body.model_fields_set:
        changes.append((Assign, {"assignee": body.assignee}))
    return changes
