"""The documents of the timeline: contacts that decide, strands, edges, entries, and the outbox that carries decisions out.

All are frozen models with a JSON form. Not here: rules (`decide`, `edges`, `strands`) and what readers are shown (`views`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from threadline_events.evidence import Evidence
from threadline_events.inbound import Attachment, Author, Hints, Part, Participant, RawPayload, Relations
from threadline_events.model import Model, Timestamp
from threadline_events.outbound import OutboundMessage
from threadline_events.states import DeliveryRank

__all__ = [
    "Amend",
    "Attempt",
    "Attend",
    "Claim",
    "Close",
    "ClosePart",
    "Contact",
    "Edge",
    "Edit",
    "EntryDocument",
    "EntryRef",
    "IntakeRef",
    "LinkRecord",
    "Mark",
    "OutboxItem",
    "ReactionSlot",
    "Recent",
    "Strand",
    "Suggestion",
    "Try",
    "Why",
]


class IntakeRef(Model):
    """One event (or command) of an intake."""

    intake_id: str
    index: int


class Why(Model):
    """A rule that was looked at in a decision, what it saw, and whether it decided."""

    rule: str
    saw: str = ""
    decided: bool = False


class Mark(Model):
    """Who set an attribute last: the later (`at`, `command_id`) stands, whatever order they are carried out in."""

    at: Timestamp
    command_id: str

    def before(self, other: "Mark") -> bool:
        """Whether `other` is the later one."""
        return (self.at, self.command_id) < (other.at, other.command_id)


class Strand(Model):
    """One contact's part of a conversation. Decided in its contact's document; stored copies follow, highest version stands."""

    strand_id: str
    brand: str
    owner: str
    owner_identity: str
    version: int
    status: Literal["open", "resolved"]
    opened_at: Timestamp
    inbound_seq: int
    joins: str | None = None
    previous: str | None = None
    subject: str | None = None
    channels: tuple[str, ...] = ()
    last_activity_at: Timestamp
    resolved_at: Timestamp | None = None
    assignee: str | None = None
    assigned: Mark | None = None
    snoozed_until: Timestamp | None = None
    snoozed_seqs: dict[str, int] = Field(default_factory=dict)
    snoozed: Mark | None = None

    @property
    def age(self) -> tuple[Timestamp, str]:
        """Strands are ordered by this; a join goes to an older one only, so no circle can form."""
        return (self.opened_at, self.strand_id)


class Recent(Model):
    """A message lately filed, for the rate breaker."""

    at: Timestamp
    body: str


class Contact(Model):
    """One identity within a brand: the only place where decisions about its strands are made."""

    contact_id: str
    brand: str
    identity: str
    display_name: str | None = None
    evidence: Evidence = Evidence.CLAIMED
    version: int = 0
    active: Strand | None = None
    last: Strand | None = None
    recent: tuple[Recent, ...] = ()


class Edit(Model):
    """One revision of a message; all are kept, the highest shows."""

    revision: int
    at: Timestamp
    text: str | None = None
    reply_text: str | None = None
    parts: tuple[Part, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    made: IntakeRef | None = None


class ReactionSlot(Model):
    """One slot an actor and emoji; an older provider time loses."""

    actor: str
    emoji: str
    on: bool
    at: Timestamp


class Try(Model):
    """One provider call within an attempt."""

    number: int
    state: str
    code: str | None = None
    class_: str | None = Field(default=None, alias="class")
    reason: str | None = None
    started_at: Timestamp
    ended_at: Timestamp | None = None


class Attempt(Model):
    """A person's decision to send: the first, then each retry. `rank` only rises."""

    number: int
    rank: DeliveryRank
    reason: str | None = None
    external_ids: tuple[str, ...] = ()
    command_id: str
    queued_at: Timestamp
    tries: tuple[Try, ...] = ()


class EntryDocument(Model):
    """A message in a timeline as it is stored. It never moves: `strand_id` and `party` are what they were when it was filed."""

    message_id: str
    brand: str
    party: str
    party_identity: str
    strand_id: str | None
    inbound_seq: int | None = None
    version: int = 1
    direction: Literal["inbound", "outbound", "internal"]
    kind: str = "message"
    shown: bool = True
    channel: str
    account_id: str | None
    accounts: tuple[str, ...] = ()
    author: Author
    author_contact: str | None = None
    participants: tuple[Participant, ...] = ()
    external_id: str | None = None
    native_thread: str | None = None
    names: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    occurred_at: Timestamp
    received_at: Timestamp
    order: str = ""
    subject: str | None = None
    text: str | None = None
    reply_text: str | None = None
    quoted_text: str | None = None
    language: str | None = None
    parts: tuple[Part, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    relates_to: Relations = Relations()
    hints: Hints = Hints()
    reply_address: dict[str, Any] | None = None
    reply_window_ends_at: Timestamp | None = None
    raw: RawPayload | None = None
    channel_data: dict[str, Any] = Field(default_factory=dict)
    cut: dict[str, str] = Field(default_factory=dict)
    made: IntakeRef | None = None
    intakes: tuple[IntakeRef, ...] = ()
    edits: tuple[Edit, ...] = ()
    deleted_at: Timestamp | None = None
    reactions: tuple[ReactionSlot, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    outbound: OutboundMessage | None = None
    answers: str | None = None
    command_id: str | None = None
    fingerprint: str = ""
    result: str | None = None
    """What became of a command: `done`, or `refused:` and why. None for what customers wrote."""
    origin: str | None = None
    why: tuple[Why, ...] = ()


class Claim(Model):
    """An unfiled entry: whoever inserted it first said whose contact decides about the message."""

    message_id: str
    brand: str
    party: str
    party_identity: str
    names: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    why: tuple[Why, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryRef:
    """What threading needs to know of an entry or claim."""

    message_id: str
    brand: str
    party: str
    party_identity: str
    filed: bool
    direction: str
    strand_id: str | None
    received_at: datetime | None
    why: tuple[Why, ...] = ()
    """Of a claim only: the threading rule that whoever inserted it went by."""


class ClosePart(Model):
    """A strand that a resolve closes where it is open and not above `as_of`."""

    strand_id: str
    owner: str
    as_of: int


class Close(Model):
    """The step of a resolve."""

    conversation_id: str
    parts: tuple[ClosePart, ...]
    at: Timestamp


class Attend(Model):
    """The step that sets what stands in a conversation's own strand: assignee or snooze."""

    conversation_id: str
    mark: Mark
    what: Literal["assign", "snooze", "wake"]
    assignee: str | None = None
    snoozed_until: Timestamp | None = None
    read: dict[str, int] = Field(default_factory=dict)
    """How far each strand was read by whoever snoozed."""


class Amend(Model):
    """The step that sends again (`outbound` is the next attempt) or confirms what we sent, where its state still allows it."""

    message_id: str
    attempt: int
    what: Literal["retry", "confirm"]
    command_id: str
    outbound: OutboundMessage | None = None
    names: tuple[str, ...] = ()
    """Names that the next attempt will be answered by."""


class OutboxItem(Model):
    """One decision not yet carried out. Its steps run in the order of the fields; each may run twice, late, or beside itself."""

    number: int
    """The version of the document that put it in."""
    at: Timestamp
    close: Close | None = None
    attend: Attend | None = None
    amend: Amend | None = None
    entries: tuple[EntryDocument, ...] = ()
    strands: tuple[Strand, ...] = ()
    align: tuple[str, ...] = ()
    """Contacts whose person must have one open conversation afterwards."""
    derive: tuple[str, ...] = ()
    """Strands whose summary is derived again."""
    rederive: tuple[str, ...] = ()
    """Contacts of whose person every strand that joins is derived again, with what it joins (links and unlinks)."""


class LinkRecord(Model):
    """A link or unlink command in an edge's history."""

    command_id: str
    action: Literal["link", "unlink"]
    evidence: Evidence | None = None
    actor: str
    at: Timestamp
    automatic: bool = False
    reason: str = ""
    result: str


class Edge(Model):
    """Two identities of a brand and everything ever said about their being one person. It decides about itself."""

    link_id: str
    brand: str
    one: str
    other: str
    one_contact: str
    other_contact: str
    version: int = 0
    active: bool = False
    unlinked: bool = False
    """An agent removed the link; only an explicit one joins the two again."""
    evidence: Evidence | None = None
    history: tuple[LinkRecord, ...] = ()

    @property
    def pair(self) -> tuple[str, str]:
        """The contacts at its ends."""
        return (self.one_contact, self.other_contact)


class Suggestion(Model):
    """Two identities that claimed evidence names as one person; a desk may accept it by an explicit link."""

    link_id: str
    brand: str
    one: str
    other: str
    evidence: Evidence
    reason: str
    at: Timestamp
