"""What is to be sent to a customer: `threadline.outbound.v1`, fully addressed by the router."""

from typing import Any

from threadline_events.inbound import Attachment
from threadline_events.model import Model, Timestamp

__all__ = ["InReplyTo", "MailAddressing", "OutboundMessage", "Quoted"]


class InReplyTo(Model):
    """The answered message, by the ids its provider knows."""

    external_id: str | None
    references: tuple[str, ...] = ()


class MailAddressing(Model):
    """What only the router can sign: our Message-ID, the envelope sender for bounces, the reply address."""

    message_id: str
    envelope_sender: str
    reply_to: str


class Quoted(Model):
    """The answered message, to be quoted below."""

    author: str
    occurred_at: Timestamp
    text: str
    html: str | None = None


class OutboundMessage(Model):
    """One attempt to send. The same message and attempt is one delivery, however often it is consumed."""

    message_id: str
    conversation_id: str
    channel: str
    account_id: str
    brand: str
    native_thread: str | None
    attempt: int = 1
    reply_address: dict[str, Any]
    text: str
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    subject: str | None = None
    in_reply_to: InReplyTo | None = None
    mail: MailAddressing | None = None
    quoted: Quoted | None = None
    queued_at: Timestamp
