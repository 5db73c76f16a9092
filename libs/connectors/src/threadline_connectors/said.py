"""What a provider said, read from a payload and not yet stamped by the host.

Not here: account, brand, times of receipt and ids; a connector does not know them (`stamping` adds them).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from threadline_events.ids import message_id
from threadline_events.inbound import Author, Hints, InboundKind, Part, Participant, Relations

__all__ = ["Content", "Media", "MessageName", "NativeName", "Said"]

Content = bytes | Path
"""Bytes in memory, or a file in the spool that the host may move away."""


class MessageName(Protocol):
    """How a message is called within an account; only what the provider fixed goes into it."""

    def message_id(self, brand: str, channel: str, account_id: str) -> str:
        """Our id of the message."""
        ...


@dataclass(frozen=True, slots=True)
class NativeName:
    """The usual name: the provider's id, unique within the account (Slack `channel/ts`, Telegram `chat/id`, ...)."""

    native_id: str

    def message_id(self, brand: str, channel: str, account_id: str) -> str:
        """Our id of the message."""
        return message_id(brand, channel, account_id, self.native_id)


@dataclass(frozen=True, slots=True)
class Media:
    """A file of a message. `content` None where the host cannot have it: then `source_url` or `note` says why."""

    sha256: str | None
    size: int | None
    media_type: str
    content: Content | None
    file_name: str | None = None
    inline: bool = False
    content_id: str | None = None
    source_url: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing a provider said.

    `revision_key` tells events of one kind about one message apart: edit number or time; receipt status and recipient;
    reaction actor, emoji, on or off, provider time. `occurred_at` None means the provider gave no time.
    `order` is of fixed width within the channel. `channel_data` stays small: kilobytes, never a payload.
    """

    kind: InboundKind
    name: MessageName
    author: Author
    occurred_at: datetime | None
    order: str
    revision_key: str = ""
    revision: int | None = None
    external_id: str | None = None
    native_thread: str | None = None
    participants: tuple[Participant, ...] = ()
    subject: str | None = None
    text: str | None = None
    reply_text: str | None = None
    quoted_text: str | None = None
    language: str | None = None
    parts: tuple[Part, ...] = ()
    media: tuple[Media, ...] = ()
    relates_to: Relations = field(default_factory=Relations)
    hints: Hints = field(default_factory=Hints)
    reply_address: Mapping[str, Any] | None = None
    reply_window_ends_at: datetime | None = None
    channel_data: Mapping[str, Any] = field(default_factory=dict)
