"""The mails of the story, written as real clients write them. Pure: who, what and when come in, bytes go out."""

import struct
import zlib
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, make_msgid, parseaddr

from threadline_cli.demo.cast import Customer

__all__ = ["answer_to", "away_notice", "letter", "photo_png", "reply_target", "with_photo"]


def letter(author: Customer, to: str, subject: str, text: str, at: datetime, *, cc: str | None = None) -> EmailMessage:
    """A new mail in plain text and HTML."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = formataddr((author.name, author.address))
    mail["To"] = to
    if cc:
        mail["Cc"] = cc
    mail["Subject"] = subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = make_msgid(domain=author.address.rpartition("@")[2])
    mail.set_content(text)
    mail.add_alternative(_html(text), subtype="html")
    return mail


def answer_to(author: Customer, answered: EmailMessage, text: str, at: datetime) -> EmailMessage:
    """A reply as a mail client makes it: to Reply-To, threaded, the answered mail quoted below."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = formataddr((author.name, author.address))
    mail["To"] = reply_target(answered)
    subject = str(answered["Subject"] or "")
    mail["Subject"] = subject if subject.lower().startswith("re:") else f"Re: {subject}"
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = make_msgid(domain=author.address.rpartition("@")[2])
    answered_id = str(answered["Message-ID"])
    mail["In-Reply-To"] = answered_id
    mail["References"] = " ".join([*str(answered["References"] or "").split(), answered_id])
    name = parseaddr(str(answered["From"]))[0] or "you"
    quoted = "\n".join(f"> {line}" for line in _plain(answered).splitlines())
    mail.set_content(f"{text}\n\nOn {at:%a, %d %b %Y at %H:%M}, {name} wrote:\n{quoted}\n")
    return mail


def away_notice(author: Customer, answered: EmailMessage, at: datetime) -> EmailMessage:
    """What a mailbox sends by itself while its owner is away (RFC 3834)."""
    mail = answer_to(author, answered, "I am in the mountains until Monday and will read your mail then.", at)
    mail.replace_header("Subject", f"Automatic reply: {answered['Subject']}")
    mail["Auto-Submitted"] = "auto-replied"
    mail["X-Auto-Response-Suppress"] = "All"
    return mail


def with_photo(mail: EmailMessage, file_name: str) -> EmailMessage:
    """The same mail with a photo attached."""
    mail.add_attachment(photo_png(), maintype="image", subtype="png", filename=file_name)
    return mail


def reply_target(answered: EmailMessage) -> str:
    """Where a client sends the reply."""
    return str(answered["Reply-To"] or answered["From"])


def photo_png(width: int = 240, height: int = 150) -> bytes:
    """A small picture of a mountain at dusk, so that the page has something to show."""
    rows = b"".join(b"\x00" + b"".join(_dusk(x / width, y / height) for x in range(width)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _dusk(x: float, y: float) -> bytes:
    ridge = 0.35 + abs(x - 0.45) * 0.8
    if y > ridge:
        return bytes((int(60 - 30 * y), int(72 - 30 * y), int(98 - 30 * y)))
    return bytes((int(250 - 60 * y), int(170 - 40 * (1 - y)), int(120 + 90 * (1 - y))))


def _html(text: str) -> str:
    paragraphs = "".join(f"<p>{part.strip()}</p>" for part in text.replace("&", "&amp;").replace("<", "&lt;").split("\n\n") if part.strip())
    return f'<html><body style="font-family: sans-serif">{paragraphs}</body></html>'


def _plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()).strip() if body is not None else ""
