"""The bytes of a reply, the same however often they are made: all comes from the message and the account, nothing from clock or chance.

multipart/mixed( multipart/alternative( text, multipart/related( html, inline images ) ), attachments ), each level only where needed.
Not here: reading attachments, and SMTP.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from threadline_events.outbound import OutboundMessage

from notifier.mail.addresses import Envelope, envelope_address
from notifier.mail.body import html_body, text_body
from notifier.mail.headers import (
    UnsendableMailError,
    address_field,
    bare_id,
    id_field,
    is_usable_id,
    refuse_control_characters,
    text_field,
)
from notifier.mail.references import thread_ids

__all__ = ["AttachedFile", "ComposedMail", "Mailbox", "compose"]

_DEFAULT_TYPE = ("application", "octet-stream")
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-")
_MOSTLY_ASCII = 0.75
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Controls and line ends of other times; the standard library takes some for a line break and refuses the whole mail."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with the name that people see beside it."""

    address: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file with its bytes. An inline one is named by the HTML as `cid:` and its content id."""

    data: bytes
    media_type: str
    file_name: str | None = None
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class ComposedMail:
    """A mail ready to be sent: its envelope, its bytes with CRLF line ends, and its Message-ID without brackets."""

    envelope: Envelope
    content: bytes
    message_id: str


def compose(message: OutboundMessage, sender: Mailbox, recipient: Mailbox, files: Sequence[AttachedFile]) -> ComposedMail:
    """The mail of an outbound message; raises UnsendableMailError where none can be made."""
    if message.mail is None:
        raise UnsendableMailError("the message carries no Message-ID and reply address: the router has to set `mail`")
    own_id = bare_id("Message-ID", message.mail.message_id)
    if not is_usable_id(own_id):
        raise UnsendableMailError("the Message-ID is not one")
    from_address = envelope_address("From", sender.address)
    to_address = envelope_address("To", recipient.address)
    envelope_sender = message.mail.envelope_sender
    envelope = Envelope(envelope_address("the envelope sender", envelope_sender) if envelope_sender else "", (to_address,))
    fields = [
        address_field("From", from_address, sender.display_name),
        address_field("To", to_address, recipient.display_name),
        address_field("Reply-To", envelope_address("Reply-To", message.mail.reply_to), sender.display_name),
        *_subject(message.subject),
        f"Date: {_date(message.queued_at)}\r\n",
        id_field("Message-ID", [own_id]),
        *_thread_fields(message),
        "MIME-Version: 1.0\r\n",
    ]
    head = "".join(fields).encode("utf-8")
    return ComposedMail(envelope, head + _mime(message, files), own_id)


def _subject(subject: str | None) -> list[str]:
    return [text_field("Subject", subject)] if subject else []


def _date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0))


def _thread_fields(message: OutboundMessage) -> list[str]:
    answered = message.in_reply_to
    if answered is None:
        return []
    last, chain = thread_ids(answered.references, answered.external_id)
    fields = [id_field("In-Reply-To", [last])] if last else []
    return [*fields, id_field("References", chain)] if chain else fields


def _mime(message: OutboundMessage, files: Sequence[AttachedFile]) -> bytes:
    body: EmailMessage = _alternative(message, [one for one in files if one.content_id])
    attached = [one for one in files if not one.content_id]
    if attached:
        body = _multipart("mixed", [body, *(_file_part(one) for one in attached)])
    _name_boundaries(body, message)
    del body["MIME-Version"]
    return body.as_bytes(policy=SMTP)


def _alternative(message: OutboundMessage, inline: Sequence[AttachedFile]) -> EmailMessage:
    html = _text_part(html_body(message.text, message.html, message.quoted), "html")
    if inline:
        html = _multipart("related", [html, *(_file_part(one) for one in inline)])
        html.set_param("type", "text/html")
    return _multipart("alternative", [_text_part(text_body(message.text, message.quoted), "plain"), html])


def _text_part(text: str, subtype: str) -> EmailMessage:
    part = EmailMessage(policy=SMTP)
    is_readable = sum(map(str.isascii, text)) >= _MOSTLY_ASCII * len(text)
    part.set_content(text, subtype=subtype, charset="utf-8", cte="quoted-printable" if is_readable else "base64")
    del part["MIME-Version"]
    return part


def _file_part(file: AttachedFile) -> EmailMessage:
    part = EmailMessage(policy=SMTP)
    name = _UNSEEN.sub("", refuse_control_characters("a file name", file.file_name)).strip() if file.file_name else None
    main, sub = _media_type(file.media_type)
    part.set_content(
        file.data,
        maintype=main,
        subtype=sub,
        cte="base64",
        disposition="inline" if file.content_id else "attachment",
        filename=name or None,
    )
    del part["MIME-Version"]
    if file.content_id:
        content_id = bare_id("a Content-ID", file.content_id)
        if not is_usable_id(content_id):
            raise UnsendableMailError("a Content-ID is not one")
        part["Content-ID"] = f"<{content_id}>"
    return part


def _media_type(value: str) -> tuple[str, str]:
    refuse_control_characters("a media type", value)
    main, _, sub = value.partition(";")[0].strip().lower().partition("/")
    # A whole mail or a multipart as a leaf would be read as structure, so it travels as plain bytes.
    if not main or not sub or main in {"multipart", "message"} or not _TOKEN.issuperset(main + sub):
        return _DEFAULT_TYPE
    return main, sub


def _multipart(subtype: str, parts: Sequence[EmailMessage]) -> EmailMessage:
    whole = EmailMessage(policy=SMTP)
    whole["Content-Type"] = f"multipart/{subtype}"
    for part in parts:
        whole.attach(part)
    return whole


def _name_boundaries(body: EmailMessage, message: OutboundMessage) -> None:
    """Boundaries by delivery and level: the standard library's are random, and a repeat must be the same bytes."""
    for index, part in enumerate(body.walk()):
        if part.is_multipart():
            seed = f"{message.message_id}\0{message.attempt}\0{index}".encode()
            part.set_boundary("=_" + hashlib.blake2b(seed, digest_size=20).hexdigest())
