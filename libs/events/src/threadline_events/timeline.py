"""What changed in a timeline: `threadline.timeline.v1`, full snapshots. Readers keep the highest version."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from threadline_events.inbound import Attachment, Hints, Part, Participant, Relations
from threadline_events.model import Model, Timestamp

__all__ = [
    "AnyTimelineChange",
    "Conversation",
    "ConversationChanged",
    "Entry",
    "EntryAuthor",
    "EntryChanged",
    "EntryReaction",
    "StrandView",
    "parse_timeline_change",
]

Direction = Literal["inbound", "outbound", "internal"]
Status = Literal["open", "snoozed", "resolved"]


class EntryAuthor(Model):
    """Who an entry is by."""

    identity: str
    display_name: str | None = None
    role: str


class EntryReaction(Model):
    """A reaction that stands."""

    actor: str
    emoji: str
    at: Timestamp


class Entry(Model):
    """A message in a timeline, as the API shows it."""

    message_id: str
    conversation_id: str | None
    """The API answers the conversation that the entry reads in now. A snapshot on the bus gives the strand's own id: a snapshot tells
    what is stored in one document, and joins come and go without it. It leads to the conversation by `conversation.changed` of that id,
    whose `joined` names the next, and by the `strands` of the conversation it ends in.
    """
    strand_id: str | None
    contact_id: str
    party: str
    direction: Direction
    channel: str
    account_id: str | None
    brand: str
    author: EntryAuthor
    participants: tuple[Participant, ...] = ()
    subject: str | None = None
    text: str | None = None
    reply_text: str | None = None
    quoted_text: str | None = None
    language: str | None = None
    parts: tuple[Part, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    occurred_at: Timestamp
    received_at: Timestamp
    order: str
    state: str | None = None
    state_reason: str | None = None
    attempt: int | None = None
    external_id: str | None = None
    native_thread: str | None = None
    relates_to: Relations = Relations()
    reactions: tuple[EntryReaction, ...] = ()
    edited_at: Timestamp | None = None
    deleted_at: Timestamp | None = None
    verified: bool = False
    version: int
    accounts: tuple[str, ...] = ()
    hints: Hints = Hints()
    channel_data: dict[str, Any] = Field(default_factory=dict)
    kind: str = "message"
    """message, note, or the system command that an internal entry tells of."""
    cut: dict[str, str] = Field(default_factory=dict)


class StrandView(Model):
    """One contact's part of a conversation."""

    strand_id: str
    contact_id: str
    status: Literal["open", "resolved"]


class Conversation(Model):
    """The person's case, as the API lists it."""

    conversation_id: str
    brand: str
    contact_id: str
    status: Status
    subject: str | None = None
    assignee: str | None = None
    snoozed_until: Timestamp | None = None
    opened_at: Timestamp
    last_activity_at: Timestamp
    channels: tuple[str, ...] = ()
    strands: tuple[StrandView, ...] = ()
    as_of: str
    previous: str | None = None
    version: int
    joined: str | None = None
    """The conversation that this one reads inside of; such a summary is followed, not listed."""


class EntryChanged(Model):
    """An entry as it is now. `origin` names the desk or API key that caused it, so that a desk skips its own."""

    type: Literal["entry.changed"] = "entry.changed"
    entry: Entry
    visibility: Literal["customer", "internal"]
    origin: str | None = None
    version: int


class ConversationChanged(Model):
    """A conversation's summary as it is now."""

    type: Literal["conversation.changed"] = "conversation.changed"
    conversation: Conversation
    version: int


AnyTimelineChange = Annotated[EntryChanged | ConversationChanged, Field(discriminator="type")]
_ADAPTER: TypeAdapter[AnyTimelineChange] = TypeAdapter(AnyTimelineChange)


def parse_timeline_change(body: bytes) -> AnyTimelineChange:
    """The change in a record's body; raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(body)
