"""The mail connector: one parsed mail -> the message, and a receipt for each of our mails that it returns. Pure.

Not here: reading MIME (`parsing`), fetching (`imap`), and what a signed address or Message-ID means (only the router verifies).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from threadline_connectors.capabilities import Capabilities
from threadline_connectors.connectors import InboundChannel
from threadline_connectors.errors import PayloadError
from threadline_connectors.said import Media, MessageName, Said
from threadline_events.evidence import Evidence
from threadline_events.identity import IdentityError, email_identity
from threadline_events.ids import mail_message_id, raw_mail_message_id
from threadline_events.inbound import Author, Bounce, Hints, Part, Participant, Receipt, Relations

from ingest_email.parsing import Address, Attachment, BodyPart, ParsedMail, PartKind, Report, ReportKind
from ingest_email.settings import MailAccount

__all__ = ["CAPABILITIES", "CHANNEL", "EmailConnector", "ReadMail"]

CAPABILITIES = Capabilities(reply=True, threads=True, html=True, attachments=True, receipts=True)
CHANNEL = InboundChannel("email", CAPABILITIES, MailAccount)

_VERSION = "1"
_BELIEVED = timedelta(days=7)
"""How far before its arrival a mail's own Date is believed (P5)."""
_SUBJECT_TOKEN = re.compile(r"\[#([^\[\]\s#]{4,120})\]")
_MAX_RECEIPTS = 50
_MAX_DEFECTS = 20


@dataclass(frozen=True, slots=True)
class ReadMail:
    """A mail that was read. `raw` is needed only where there is no Message-ID. Offline `arrived` is None."""

    parsed: ParsedMail
    arrived: datetime | None
    order: str
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class _MailName:
    """The same mail in two mailboxes of a brand is one; a reused Message-ID is not."""

    rfc_message_id: str
    content: bytes

    def message_id(self, brand: str, channel: str, account_id: str) -> str:
        return mail_message_id(brand, self.rfc_message_id, self.content)


@dataclass(frozen=True, slots=True)
class _RawName:
    """A mail without a Message-ID is named by its bytes, within its account."""

    raw: bytes

    def message_id(self, brand: str, channel: str, account_id: str) -> str:
        return raw_mail_message_id(brand, account_id, self.raw)


class EmailConnector:
    """Reads the mails of one account."""

    name = "email"
    version = _VERSION
    capabilities = CAPABILITIES

    def __init__(self, *, follow_reply_to: bool = False) -> None:
        """`follow_reply_to`: a website's form mails here, so the customer stands in Reply-To."""
        self._follow_reply_to = follow_reply_to

    def parse(self, payload: ReadMail) -> tuple[Said, ...]:
        """The mail, then a receipt for each mail it returns. Raises PayloadError where nobody wrote it."""
        message = self._message(payload)
        receipts = _receipts(payload.parsed.report, message)
        return (message, *receipts)

    def _message(self, payload: ReadMail) -> Said:
        mail = payload.parsed
        author = _author(mail)
        return Said(
            kind="message.received",
            name=_name(payload),
            author=author,
            occurred_at=_occurred_at(mail.date, payload.arrived),
            order=payload.order,
            external_id=mail.message_id,
            native_thread=next(iter(mail.references), None) or mail.in_reply_to or mail.message_id,
            participants=tuple(_participants(mail, author)),
            subject=mail.subject,
            text=mail.text,
            reply_text=mail.reply_text,
            quoted_text=mail.quoted_text,
            parts=tuple(_part(part) for part in mail.parts),
            media=tuple(_media(attachment) for attachment in mail.attachments),
            relates_to=Relations(reply_to=mail.in_reply_to),
            hints=_hints(mail, author),
            reply_address=self._reply_address(mail, author),
            channel_data=_channel_data(mail),
        )

    def _reply_address(self, mail: ParsedMail, author: Author) -> dict[str, str | None] | None:
        """Where an answer goes: the author, or Reply-To where the author is proven or the account is a form's."""
        if mail.report is not None:
            return None  # a machine reported; nobody reads an answer
        written = _identities(mail.reply_to)
        if written and (self._follow_reply_to or author.evidence is Evidence.SIGNED):
            identity, address = written[0]
            return {"address": _plain(identity), "display_name": address.display_name}
        return {"address": _plain(author.identity), "display_name": author.display_name}


def _name(payload: ReadMail) -> MessageName:
    if payload.parsed.message_id is not None:
        return _MailName(payload.parsed.message_id, payload.parsed.content_key)
    if payload.raw is None:
        raise ValueError("a mail without a Message-ID is named by its bytes")
    return _RawName(payload.raw)


def _occurred_at(date: datetime | None, arrived: datetime | None) -> datetime | None:
    if date is None or arrived is None:
        return date or arrived
    return date if arrived - _BELIEVED <= date <= arrived else arrived


def _author(mail: ParsedMail) -> Author:
    for address in (mail.original_from, mail.from_, mail.sender):
        if address is not None and (identity := _identity(address.address)) is not None:
            # DMARC speaks for the From address only, never for whom a list says it rewrote.
            proven = mail.authentication.passed and address is mail.from_
            role = "system" if mail.report is not None else "customer"
            evidence = Evidence.SIGNED if proven else Evidence.CLAIMED
            return Author(identity=identity, display_name=address.display_name, role=role, evidence=evidence)
    if mail.report is not None and mail.report.reporting_host is not None:
        daemon = _identity(f"mailer-daemon@{mail.report.reporting_host}")
        if daemon is not None:
            return Author(identity=daemon, role="system")
    if mail.return_path is not None and (identity := _identity(mail.return_path)) is not None:
        return Author(identity=identity)
    raise PayloadError("no_author", "the mail names nobody who wrote it; its bytes are kept")


def _participants(mail: ParsedMail, author: Author) -> Iterator[Participant]:
    fields: tuple[tuple[str, Iterable[Address]], ...] = (
        ("from", (mail.from_,) if mail.from_ is not None else ()),
        ("sender", (mail.sender,) if mail.sender is not None else ()),
        ("reply_to", mail.reply_to),
        ("to", mail.to),
        ("cc", mail.cc),
        ("bcc", mail.bcc),
    )
    seen = {("from", author.identity)}  # the author is not named twice
    for role, addresses in fields:
        for identity, address in _identities(addresses):
            if (role, identity) not in seen:
                seen.add((role, identity))
                yield Participant(identity=identity, display_name=address.display_name, role=role)


def _hints(mail: ParsedMail, author: Author) -> Hints:
    subject_token = _SUBJECT_TOKEN.search(mail.subject or "")
    written = {identity for identity, _ in _identities(mail.reply_to)}
    return Hints(
        is_auto_reply=mail.is_auto_reply,
        is_list=mail.is_list,
        is_forward=mail.is_forward,
        references=mail.references,
        reply_tokens=mail.delivered_to,
        subject_token=subject_token[1] if subject_token else None,
        bounce=_bounce(mail),
        reply_to_differs=bool(written - {author.identity}),
    )


def _bounce(mail: ParsedMail) -> Bounce | None:
    bounce = mail.bounce
    if bounce is None:
        return None
    return Bounce(
        recipient=bounce.recipient,
        status=bounce.status,
        class_="hard" if bounce.bounce_class.value == "hard" else "soft",
        reason=bounce.reason,
        original_external_id=bounce.original_external_id,
    )


def _receipts(report: Report | None, message: Said) -> Iterator[Said]:
    """A failure for each returned mail, named or not (a signed envelope sender may name it); a delay is none.

    Same author: who reports is who says so.
    """
    if report is None or report.kind is not ReportKind.FAILED:
        return
    for bounce in report.bounces[:_MAX_RECEIPTS]:
        original = bounce.original_external_id or report.original_external_id
        receipt = Receipt(of=original, status="failed", recipient=bounce.recipient, code=bounce.status, reason=bounce.reason)
        yield Said(
            kind="receipt.received",
            name=message.name,
            author=message.author,
            occurred_at=message.occurred_at,
            order=message.order,
            revision_key=f"failed/{original or ''}/{bounce.recipient or ''}",
            external_id=message.external_id,
            native_thread=message.native_thread,
            relates_to=Relations(receipt=receipt),
            hints=message.hints,
        )


def _part(part: BodyPart) -> Part:
    if part.kind is PartKind.TEXT:
        return Part(type="text", text=part.content)
    if part.kind is PartKind.HTML:
        return Part(type="html", html=part.content)
    return Part(type="media", sha256=part.content)


def _media(attachment: Attachment) -> Media:
    return Media(
        sha256=attachment.sha256,
        size=attachment.size,
        media_type=attachment.media_type,
        content=attachment.payload if attachment.path is None else Path(attachment.path),
        file_name=attachment.file_name,
        inline=attachment.inline,
        content_id=attachment.content_id,
        note=_sniffed(attachment),
    )


def _sniffed(attachment: Attachment) -> str | None:
    other = attachment.sniffed_type
    return f"looks like {other}" if other is not None and other != attachment.media_type else None


def _channel_data(mail: ParsedMail) -> dict[str, object]:
    """What helps an operator to understand a mail; small, and never needed to answer it."""
    data: dict[str, object] = {
        "return_path": mail.return_path,
        "list_id": mail.list_id,
        "automatic_sign": mail.automatic_sign,
        "thread_index": mail.thread_index,
        "signature": mail.signature[:2000] if mail.signature else None,
        "report": mail.report.kind.value if mail.report is not None else None,
        "dmarc": mail.authentication.dmarc,
        "defects": list(mail.defects[:_MAX_DEFECTS]),
    }
    return {name: value for name, value in data.items() if value}


def _identities(addresses: Iterable[Address]) -> list[tuple[str, Address]]:
    pairs = ((_identity(address.address), address) for address in addresses)
    return [(identity, address) for identity, address in pairs if identity is not None]


def _identity(address: str) -> str | None:
    try:
        return email_identity(address)
    except IdentityError:
        return None


def _plain(identity: str) -> str:
    return identity.partition(":")[2]
