"""What a channel can do, as data: it chooses the conformance tests and what is offered to agents."""

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Capabilities"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can carry. Lengths are in characters, sizes in bytes; None means no limit is known."""

    reply: bool = False
    threads: bool = False
    html: bool = False
    attachments: bool = False
    edits: bool = False
    deletes: bool = False
    reactions: bool = False
    receipts: bool = False
    typing: bool = False
    max_text_length: int | None = None
    max_attachment_bytes: int | None = None
    reply_window: timedelta | None = None
