"""One mail as it came from a mailbox, before anybody has read it. Not here: what it says (`parsing`)."""

from dataclasses import dataclass
from datetime import datetime

from threadline_connectors.said import Content

__all__ = ["MEDIA_TYPE", "MailboxMail"]

MEDIA_TYPE = "message/rfc822"


@dataclass(frozen=True, slots=True)
class MailboxMail:
    """Its bytes, or the spool file that holds them, and what the mailbox says about it. `arrived` is the INTERNALDATE."""

    content: Content
    arrived: datetime | None
    order: str
