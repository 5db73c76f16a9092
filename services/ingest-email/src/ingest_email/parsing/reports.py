"""Reads what machines report about a mail: DSN (RFC 3464), read receipts (RFC 8098), complaints (RFC 5965), and
bounces in the own words of common servers.

Not here: finding the entry that is meant, and the decision that it failed.
"""

import re
from collections.abc import Iterator

from ingest_email.parsing.addresses import usable
from ingest_email.parsing.charsets import decode, decode_raw_header
from ingest_email.parsing.fields import message_id
from ingest_email.parsing.limits import MAX_REASON_CHARS, Limits
from ingest_email.parsing.mail import Bounce, BounceClass, Report, ReportKind
from ingest_email.parsing.own_words import failed_recipients
from ingest_email.parsing.parameters import unfold
from ingest_email.parsing.structure import Part, scan
from ingest_email.parsing.transfer import decode_transfer
from ingest_email.parsing.words import decode_words, one_line

Block = dict[bytes, bytes]

_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_SMTP_CODE = re.compile(r"(?:^|[;\s])([45])\d\d[\s-]")
# The mailbox is there but full, or the mail too big: the address may work later.
_SOFT = frozenset({"5.2.2", "5.2.3", "5.3.1", "5.3.4"})
_BLANK = re.compile(rb"\n(?:[ \t]*\r?\n)+")
_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_RETURNED_TYPES = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})
_MAX_REPORT_BYTES = 256 * 1024


def read_report(raw: bytes, root: Part, text: str, *, from_machine: bool, limits: Limits) -> Report | None:
    """The report a mail carries, or None where it is an ordinary mail."""
    parts = list(_leaves(root))
    original = _original(raw, parts, limits)
    for part in parts:
        kind = part.type.name
        if kind in _STATUS_TYPES:
            return _delivery(_blocks(raw, part), original, limits)
        if kind in {"message/disposition-notification", "message/global-disposition-notification"}:
            blocks = _blocks(raw, part)
            named = message_id(blocks[0].get(b"original-message-id")) if blocks else None
            return Report(ReportKind.DISPOSITION, named or original, None, _host(blocks, b"reporting-ua"), ())
        if kind == "message/feedback-report":
            return Report(ReportKind.COMPLAINT, original, None, _host(_blocks(raw, part), b"reporting-mta"), ())
    if not from_machine:
        return None
    return _own_words(root, text, original or _quoted_id(text), limits)


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)


def _body(raw: bytes, part: Part) -> bytes:
    end = min(part.end, part.start + _MAX_REPORT_BYTES)
    return decode_transfer(raw[part.start : end], part.first(b"content-transfer-encoding"))


def _blocks(raw: bytes, part: Part) -> list[Block]:
    body = _body(raw, part).replace(b"\r\n", b"\n").strip(b"\n")
    return [_block(piece) for piece in _BLANK.split(body) if piece.strip()]


def _block(piece: bytes) -> Block:
    root, _ = scan(piece + b"\n\n", _BLOCK_LIMITS)
    return {name: values[0] for name, values in root.fields.items()}


_BLOCK_LIMITS = Limits(parts=1, depth=0)


def _original(raw: bytes, parts: list[Part], limits: Limits) -> str | None:
    for part in parts:
        if part.type.name in _RETURNED_TYPES:
            root, _ = scan(_body(raw, part).lstrip() + b"\n\n", limits)
            return message_id(root.first(b"message-id"))
    return None


def _delivery(blocks: list[Block], original: str | None, limits: Limits) -> Report:
    head = blocks[0] if blocks else {}
    recipients = [one for one in blocks if b"action" in one or b"final-recipient" in one]
    actions = {_text(one, b"action").partition(" ")[0].lower() for one in recipients}
    failed = [one for one in recipients if _text(one, b"action").lower().startswith("failed")]
    kind = ReportKind.DELIVERED
    if failed:
        kind = ReportKind.FAILED
    elif "delayed" in actions:
        kind = ReportKind.DELAYED
    bounces = tuple(_bounce(one, original) for one in failed[: limits.bounced_recipients])
    envelope = _text(head, b"original-envelope-id") or None
    return Report(kind, original, envelope, _host(blocks, b"reporting-mta"), bounces)


def _bounce(block: Block, original: str | None) -> Bounce:
    # The address before any forwarding is the one we know.
    recipient = _typed(_text(block, b"original-recipient")) or _typed(_text(block, b"final-recipient"))
    reason = _text(block, b"diagnostic-code")
    status = _STATUS.search(_text(block, b"status"))
    return failure(recipient, status[1] if status is not None else None, reason, original)


def failure(recipient: str | None, status: str | None, reason: str, original: str | None) -> Bounce:
    """A failed recipient. Without an enhanced status the reason is searched for one, then for an SMTP code."""
    if status is None or status.endswith(".0.0"):
        found = _STATUS.search(reason)
        status = found[1] if found is not None else status
    if status is None:
        code = _SMTP_CODE.search(reason)
        status = f"{code[1]}.0.0" if code is not None else None
    hard = status is None or (status.startswith("5") and status not in _SOFT)
    told = reason.partition(";")[2].strip() if reason.lower().startswith(("smtp;", "x-")) else reason
    grade = BounceClass.HARD if hard else BounceClass.SOFT
    return Bounce(recipient, status, grade, told[:MAX_REASON_CHARS] or None, original)


def _own_words(root: Part, text: str, original: str | None, limits: Limits) -> Report | None:
    named = [usable(one) for one in _text_of(root, b"x-failed-recipients").split(",")]
    found = [(one, "") for one in named if one] or failed_recipients(text)
    if not found:
        return None
    reason = _STATUS_LINE.search(text)
    told = one_line(reason[0]) if reason is not None else ""
    bounces = tuple(failure(who, None, why or told, original) for who, why in found[: limits.bounced_recipients])
    return Report(ReportKind.FAILED, original, None, None, bounces)


_STATUS_LINE = re.compile(r"^[^\n]{0,200}?\b[45]\d\d[ -][45]?[^\n]{0,300}", re.MULTILINE)
_QUOTED_ID = re.compile(r"^[> \t]{0,8}Message-I[Dd]:[ \t]*(<[^<>\s]{3,900}>)", re.MULTILINE)


def _quoted_id(text: str) -> str | None:
    match = _QUOTED_ID.search(text)
    return message_id(match[1].encode("utf-8", "replace")) if match is not None else None


def _text(block: Block, name: bytes) -> str:
    return " ".join(one_line(decode_words(decode_raw_header(unfold(block.get(name, b""))))).split())


def _text_of(part: Part, name: bytes) -> str:
    return decode(unfold(part.first(name) or b""), None)


def _typed(value: str) -> str | None:
    """``rfc822; bob@client.example`` without its type."""
    return usable(value.rpartition(";")[2].strip().strip("<>"))


def _host(blocks: list[Block], name: bytes) -> str | None:
    value = _text(blocks[0], name).rpartition(";")[2].strip() if blocks else ""
    return value[:255] or None
