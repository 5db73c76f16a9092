"""What a provider said, as events: `threadline.inbound.v1` and the output of `threadline parse`.

One model for all kinds; fields that a kind has no use for are null or empty. Names are fixed by the outer interface.
"""

from typing import Any, Literal

from pydantic import Field

from threadline_events.evidence import Evidence
from threadline_events.model import Model, Timestamp

__all__ = [
    "Attachment",
    "Author",
    "Bounce",
    "Connector",
    "Hints",
    "InboundEvent",
    "InboundKind",
    "Origin",
    "Part",
    "Participant",
    "RawPayload",
    "Reaction",
    "Receipt",
    "Relations",
]

InboundKind = Literal[
    "message.received",
    "message.edited",
    "message.deleted",
    "reaction.changed",
    "receipt.received",
    "contact.identified",
    "attachment.changed",
]
Origin = Literal["poll", "push", "replay", "api", "parse"]
"""How a payload came: fetched by us, pushed by the provider, brought again by an operator, written by our own API, read offline."""

Role = Literal["customer", "agent", "system", "brand"]


class Author(Model):
    """Who wrote; `evidence` says who vouches for the identity."""

    identity: str
    display_name: str | None = None
    role: Role = "customer"
    evidence: Evidence = Evidence.CLAIMED


class Participant(Model):
    """Somebody named beside the author. For mail the roles are from, sender, reply_to, to, cc, bcc."""

    identity: str
    display_name: str | None = None
    role: str


class Part(Model):
    """A piece of the content in its order: `text`, `html` (as sent), `media` (names an attachment) or `unsupported`."""

    type: Literal["text", "html", "media", "unsupported"]
    text: str | None = None
    html: str | None = None
    sha256: str | None = None
    note: str | None = None


class Attachment(Model):
    """A file of a message. `state`: stored, pending (fetched later), unavailable, or refused with the reason in `note`."""

    sha256: str | None = None
    size: int | None = None
    media_type: str = "application/octet-stream"
    file_name: str | None = None
    inline: bool = False
    content_id: str | None = None
    state: Literal["stored", "pending", "unavailable", "refused"] = "stored"
    source_url: str | None = None
    note: str | None = None


class Reaction(Model):
    """One slot an actor and emoji; `on` false takes it back."""

    emoji: str
    on: bool = True


class Receipt(Model):
    """What became of a message of ours (`of`: its external id). `recipient` tells several recipients apart.

    `of` is null where the provider named nothing; then only what we signed, in the hints, can say which message it is.
    """

    of: str | None = None
    status: Literal["sent", "delivered", "read", "failed"]
    recipient: str | None = None
    code: str | None = None
    reason: str | None = None


class Relations(Model):
    """Other messages this one speaks of, by external id."""

    reply_to: str | None = None
    edits: str | None = None
    deletes: str | None = None
    reacts_to: str | None = None
    reaction: Reaction | None = None
    receipt: Receipt | None = None


class Bounce(Model):
    """A returned mail. `class` is hard or soft; `status` an RFC 3463 code."""

    recipient: str | None = None
    status: str | None = None
    class_: Literal["hard", "soft"] = Field(alias="class")
    reason: str | None = None
    original_external_id: str | None = None


class Hints(Model):
    """What a connector noticed. Nothing here decides by itself."""

    is_auto_reply: bool = False
    is_list: bool = False
    is_echo: bool = False
    is_forward: bool = False
    references: tuple[str, ...] = ()
    reply_tokens: tuple[str, ...] = ()
    """Recipient addresses that may carry our signed token, most reliable first; only the router verifies them."""
    reply_token: str | None = None
    subject_token: str | None = None
    bounce: Bounce | None = None
    reply_to_differs: bool = False
    """A mail's Reply-To names another address than From."""


class RawPayload(Model):
    """The untouched payload of the intake; served by message, never by hash alone."""

    sha256: str
    size: int
    media_type: str


class Connector(Model):
    """Which code read the payload."""

    name: str
    version: str


class InboundEvent(Model):
    """One thing a provider said. At most 512 KiB as JSON: what is cut is named in `cut`."""

    event_id: str
    message_id: str
    intake_id: str | None
    intake_index: int = 0
    intake_count: int = 1
    schema_version: int = 1
    kind: InboundKind
    channel: str
    account_id: str
    brand: str
    external_id: str | None = None
    native_thread: str | None = None
    author: Author
    participants: tuple[Participant, ...] = ()
    occurred_at: Timestamp
    received_at: Timestamp | None
    order: str = ""
    origin: Origin = "push"
    subject: str | None = None
    text: str | None = None
    reply_text: str | None = None
    quoted_text: str | None = None
    language: str | None = None
    parts: tuple[Part, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    revision: int | None = None
    relates_to: Relations = Relations()
    hints: Hints = Hints()
    reply_address: dict[str, Any] | None = None
    reply_window_ends_at: Timestamp | None = None
    raw: RawPayload | None = None
    connector: Connector
    channel_data: dict[str, Any] = Field(default_factory=dict)
    cut: dict[str, str] = Field(default_factory=dict)
    """Fields cut to fit (text, reply_text, quoted_text, html, participants, references): the blob where each stands whole."""
