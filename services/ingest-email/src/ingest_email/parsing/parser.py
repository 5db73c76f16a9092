"""Bytes in, typed mail out: puts the parts of this package together.

Pure: no input or output, no clock. It bounds what it builds, not the time it takes: untrusted mail runs in workers.py.
"""

from threadline_events.ids import content_key

from ingest_email.parsing.addresses import addresses
from ingest_email.parsing.authentication import authentication
from ingest_email.parsing.automatic import automatic_sign, is_list, list_id
from ingest_email.parsing.content import Content
from ingest_email.parsing.fields import date, message_id, message_ids, return_path, thread_index
from ingest_email.parsing.html_text import has_quote_marker, html_to_text
from ingest_email.parsing.limits import MAX_SUBJECT_CHARS, Limits
from ingest_email.parsing.list_authors import original_from
from ingest_email.parsing.mail import Address, MailError, ParseContext, ParsedMail, Report, ReportKind
from ingest_email.parsing.parameters import unfold
from ingest_email.parsing.quotes import Split, is_forward_subject, split, without_marks
from ingest_email.parsing.reports import read_report
from ingest_email.parsing.structure import Part, scan
from ingest_email.parsing.words import header_text

# Most reliable first: where a signed reply address may stand.
_RECIPIENT_FIELDS = (
    b"delivered-to",
    b"x-original-to",
    b"envelope-to",
    b"x-envelope-to",
    b"x-forwarded-to",
    b"resent-to",
    b"to",
    b"cc",
)
_SIGNS_OF_MAIL = frozenset(
    {b"from", b"to", b"subject", b"date", b"message-id", b"received", b"mime-version", b"content-type", b"return-path"}
)


def parse_mail(raw: bytes, *, context: ParseContext) -> ParsedMail:
    """Reads one mail, however broken. Raises MailError only: for what is no mail, is too large, or is our fault."""
    limit = context.limits.total_bytes
    if len(raw) > limit:
        raise MailError("too_large", f"the mail has {len(raw)} bytes, the limit is {limit}; raise the limit or fetch it by hand")
    if not raw.strip():
        raise MailError("empty", "the mail has no bytes; fetch it again from the source")
    try:
        return _parse(raw, context)
    except (MailError, MemoryError):
        raise
    except Exception as error:  # a fault of ours in one mail is that mail's reason, never the mailbox's end
        raise MailError("internal", f"the parser failed with {type(error).__name__}; keep the mail and report it") from error


def _parse(raw: bytes, context: ParseContext) -> ParsedMail:
    limits = context.limits
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    root, defects = scan(raw, limits)
    fields = root.fields
    if not _SIGNS_OF_MAIL & fields.keys():
        raise MailError("no_header", "this is not a mail: it has no header field that mail has")
    content = Content(raw, limits, defects)
    content.walk(root, root=True)
    if "too_many_parts" in defects:
        content.leaves.append(raw[root.start : root.end])  # what was not walked still tells two mails apart
    hint = content.charset

    known: dict[bytes, tuple[Address, ...]] = {}

    def people(name: bytes) -> tuple[Address, ...]:
        if name not in known:
            values = fields.get(name)
            known[name] = addresses(values, limits.addresses, hint) if values is not None else ()
        return known[name]

    subject = header_text(root.first(b"subject"), hint)
    subject = subject[:MAX_SUBJECT_CHARS] if subject is not None else None
    authors, sender, reply_to = people(b"from"), people(b"sender"), people(b"reply-to")
    from_ = authors[0] if authors else None
    came_from = return_path(root.first(b"return-path"))
    answers = bool(reply_to) and (from_ is None or reply_to[0].address.lower() != from_.address.lower())
    sign = automatic_sign(fields, root.type.name, came_from, from_, answers)
    html = content.html()
    body, text = _bodies(content, html, subject)
    report = _report(raw, root, text, sign, limits)
    listed = is_list(fields)
    return ParsedMail(
        message_id=message_id(root.first(b"message-id")),
        in_reply_to=message_id(root.first(b"in-reply-to")),
        references=message_ids(fields.get(b"references"), limits.references),
        from_=from_,
        original_from=original_from(from_, reply_to, people(b"x-original-from")) if listed else None,
        sender=sender[0] if sender else None,
        reply_to=reply_to,
        to=people(b"to"),
        cc=people(b"cc"),
        bcc=people(b"bcc"),
        delivered_to=tuple(dict.fromkeys(one.address for name in _RECIPIENT_FIELDS for one in people(name)))[: limits.addresses],
        return_path=came_from,
        subject=subject,
        date=date(root.first(b"date")),
        text=text,
        html=html,
        reply_text=body.reply,
        quoted_text=body.quoted,
        signature=body.signature,
        parts=content.parts(),
        attachments=content.attachments(html),
        automatic_sign=_sign_of(report) or sign or _calendar_reply(root),
        is_list=listed,
        list_id=list_id(fields),
        is_forward=body.forwarded or (is_forward_subject(subject) and _attached_mail(root)),
        report=report,
        authentication=authentication(
            fields.get(b"authentication-results"), context.trusted_authserv_id, _only_domain(fields.get(b"from"), authors)
        ),
        thread_index=thread_index(root.first(b"thread-index")),
        content_key=content_key(
            from_.address.lower() if from_ is not None else "",
            unfold(root.first(b"date") or b"").decode("latin-1"),
            subject or "",
            content.leaves,
        ),
        defects=tuple(defects),
    )


def _bodies(content: Content, html: str | None, subject: str | None) -> tuple[Split, str]:
    """The split body and the full text. HTML marks help only where the lines of the text tell nothing."""
    limits, forward = content.limits, is_forward_subject(subject)
    pieces = [section.marked_text(limits) for section in content.sections]
    marked = "\n".join(piece for piece in pieces if piece.strip()).strip("\n")
    if not marked.strip() and content.placeholder is not None:
        return Split(content.placeholder, None, None, False), content.placeholder
    text = without_marks(marked)
    found = split(marked, forward_subject=forward)
    if found.quoted is None and not found.forwarded and html is not None and text == marked and has_quote_marker(html):
        marked_html = html_to_text(html[: limits.html_as_text_bytes])
        if without_marks(marked_html) != marked_html:
            by_html = split(marked_html, forward_subject=forward)
            found = by_html if by_html.quoted is not None or by_html.forwarded else found
            if by_html.forwarded:
                found = Split(text.strip(), None, None, True)
    return found, text


def _report(raw: bytes, root: Part, text: str, sign: str | None, limits: Limits) -> Report | None:
    from_machine = sign in {"mailer-daemon", "null-return-path", "report"} or b"x-failed-recipients" in root.fields
    if not from_machine and sign is None and root.type.name != "multipart/report":
        return None
    return read_report(raw, root, text, from_machine=from_machine or sign == "auto-submitted", limits=limits)


def _sign_of(report: Report | None) -> str | None:
    if report is None:
        return None
    return "bounce" if report.kind is ReportKind.FAILED else f"report-{report.kind}"


def _calendar_reply(part: Part) -> str | None:
    """Calendars accept and decline by themselves, in the person's name."""
    if part.type.name == "text/calendar" and part.type.params.get("method", "").lower() == "reply":
        return "calendar-reply"
    return next((sign for child in part.children if (sign := _calendar_reply(child)) is not None), None)


def _attached_mail(part: Part) -> bool:
    return part.type.name == "message/rfc822" or any(_attached_mail(child) for child in part.children)


def _only_domain(values: list[bytes] | None, authors: tuple[Address, ...]) -> str | None:
    """The From domain where one field names one person; several are a way to show one and prove another."""
    if values is None or len(values) != 1 or len(authors) != 1:
        return None
    return authors[0].address.rpartition("@")[2]
