"""What readers are shown of stored documents: the entry as the API and the timeline topic have it.

Hot path: models are built without validating again what was validated when it came in.
Not here: sanitising HTML (the API does, on reading).
"""

from typing import Any

from threadline_events.evidence import Evidence
from threadline_events.timeline import Conversation, ConversationChanged, Entry, EntryAuthor, EntryChanged, EntryReaction

from router.domain.documents import EntryDocument

__all__ = ["conversation_changed", "entry_changed", "entry_view", "shown_words"]


def _content(entry: EntryDocument) -> dict[str, Any]:
    """Text, parts and attachments as they show: nothing of a deleted message, else the highest revision."""
    if entry.deleted_at is not None:
        return {"text": None, "reply_text": None, "quoted_text": None, "subject": entry.subject, "parts": (), "attachments": ()}
    shown: dict[str, Any] = {
        "text": entry.text,
        "reply_text": entry.reply_text,
        "quoted_text": entry.quoted_text,
        "subject": entry.subject,
        "parts": entry.parts,
        "attachments": entry.attachments,
    }
    if entry.edits:
        last = max(entry.edits, key=lambda e: e.revision)
        shown |= {
            "text": last.text,
            "reply_text": last.reply_text,
            "parts": last.parts,
            "attachments": last.attachments or entry.attachments,
        }
    return shown


def _state(entry: EntryDocument) -> dict[str, Any]:
    if entry.attempts:
        last = entry.attempts[-1]
        return {"state": last.rank.state, "state_reason": last.reason, "attempt": last.number}
    if entry.result is None:
        return {"state": None, "state_reason": None, "attempt": None}
    state, _, reason = entry.result.partition(":")
    return {"state": state, "state_reason": reason or None, "attempt": None}


def entry_view(entry: EntryDocument, conversation_id: str | None = None) -> Entry:
    """The entry as it shows. `conversation_id`: what its strand reads in now; without it the strand's own id, which leads there."""
    return Entry.of_valid(
        message_id=entry.message_id,
        conversation_id=conversation_id or entry.strand_id,
        strand_id=entry.strand_id,
        contact_id=entry.author_contact or entry.party,
        party=entry.party,
        direction=entry.direction,
        channel=entry.channel,
        account_id=entry.account_id,
        brand=entry.brand,
        author=EntryAuthor.of_valid(identity=entry.author.identity, display_name=entry.author.display_name, role=entry.author.role),
        participants=entry.participants,
        language=entry.language,
        occurred_at=entry.occurred_at,
        received_at=entry.received_at,
        order=entry.order,
        external_id=entry.external_id,
        native_thread=entry.native_thread,
        relates_to=entry.relates_to,
        reactions=tuple(EntryReaction(actor=r.actor, emoji=r.emoji, at=r.at) for r in entry.reactions if r.on),
        edited_at=max((e.at for e in entry.edits), default=None),
        deleted_at=entry.deleted_at,
        verified=entry.author.evidence is not Evidence.CLAIMED,
        version=entry.version,
        accounts=entry.accounts,
        hints=entry.hints,
        channel_data=entry.channel_data,
        kind=entry.kind,
        cut=entry.cut,
        **_content(entry),
        **_state(entry),
    )


def shown_words(entry: EntryDocument) -> tuple[str | None, str | None]:
    """Subject and text as they show: of the highest revision, and no text of a deleted message."""
    shown = _content(entry)
    return shown["subject"], shown["text"]


def entry_changed(entry: EntryDocument) -> EntryChanged:
    """The snapshot for the timeline topic. Only what customers wrote and what is sent to them is visible to customers."""
    return EntryChanged.of_valid(
        type="entry.changed",
        entry=entry_view(entry),
        visibility="internal" if entry.direction == "internal" or not entry.shown else "customer",
        origin=entry.origin,
        version=entry.version,
    )


def conversation_changed(conversation: Conversation) -> ConversationChanged:
    """The snapshot of a summary."""
    return ConversationChanged(conversation=conversation, version=conversation.version)
