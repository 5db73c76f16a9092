"""What a mail says, typed: the result of reading one, and the one error reading can end in.

Not here: how it is read, and what the connector makes of it (events, identities, reply tokens).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ingest_email.parsing.limits import DEFAULT_LIMITS, Limits


class MailError(Exception):
    """A mail that cannot become an entry. ``code`` is the reason an operator counts, ``message`` says what to do.

    Codes: ``empty``, ``too_large``, ``no_header`` (not a mail), ``internal`` (our fault), and from the workers
    ``timeout``, ``memory``, ``crashed``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class ParseContext:
    """What the account knows beforehand: whose Authentication-Results count, and the limits."""

    trusted_authserv_id: str | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox as written; ``address`` always has a local part and a domain. Not canonical: see threadline_events."""

    address: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """One part that is not body text. The bytes are in ``payload``, or in the file ``path`` that a worker wrote."""

    sha256: str
    size: int
    media_type: str
    sniffed_type: str | None
    file_name: str | None
    inline: bool
    content_id: str | None
    payload: bytes | None
    path: str | None = None


class PartKind(StrEnum):
    """What a piece of the body is."""

    TEXT = "text"
    HTML = "html"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One piece in the order of the mail; ``content`` is the text, the HTML as sent, or the sha256 of an attachment."""

    kind: PartKind
    content: str


class ReportKind(StrEnum):
    """What a machine reports about a mail that somebody sent."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    DISPOSITION = "disposition"
    COMPLAINT = "complaint"


class BounceClass(StrEnum):
    """Whether the address may work later."""

    HARD = "hard"
    SOFT = "soft"


@dataclass(frozen=True, slots=True)
class Bounce:
    """One recipient that did not get the mail ``original_external_id`` (a Message-ID without brackets, where named)."""

    recipient: str | None
    status: str | None
    bounce_class: BounceClass
    reason: str | None
    original_external_id: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A DSN, a read receipt, a complaint, or a bounce in some mail server's own words."""

    kind: ReportKind
    original_external_id: str | None
    envelope_id: str | None
    reporting_host: str | None
    bounces: tuple[Bounce, ...]


@dataclass(frozen=True, slots=True)
class Authentication:
    """What the trusted receiver said. ``passed``: DMARC passed for exactly the domain of the only From address."""

    passed: bool
    dmarc: str | None
    header_from: str | None


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """One mail. Every string encodes to UTF-8; what may become a header again holds no CR, LF or NUL."""

    message_id: str | None
    in_reply_to: str | None
    references: tuple[str, ...]
    from_: Address | None
    original_from: Address | None
    sender: Address | None
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    delivered_to: tuple[str, ...]
    return_path: str | None
    subject: str | None
    date: datetime | None
    text: str
    html: str | None
    reply_text: str
    quoted_text: str | None
    signature: str | None
    parts: tuple[BodyPart, ...]
    attachments: tuple[Attachment, ...]
    automatic_sign: str | None
    is_list: bool
    list_id: str | None
    is_forward: bool
    report: Report | None
    authentication: Authentication
    thread_index: str | None
    content_key: bytes
    defects: tuple[str, ...]

    @property
    def is_auto_reply(self) -> bool:
        """True for automatic mail of every kind, bounces and receipts included; ``automatic_sign`` says why."""
        return self.automatic_sign is not None

    @property
    def bounce(self) -> Bounce | None:
        """The first recipient that failed, or None; a delay is not a failure."""
        return self.report.bounces[0] if self.report is not None and self.report.bounces else None
