"""Walks the parts of a mail and says what each is: body text, HTML, or an attachment.

Not here: finding the parts (structure.py), header fields, quotes.
"""

import hashlib
import re
from dataclasses import dataclass, field

from ingest_email.parsing.charsets import decode
from ingest_email.parsing.file_names import declared_name, safe_name, sniff
from ingest_email.parsing.flowed import unflow
from ingest_email.parsing.html_text import html_to_text, without_controls
from ingest_email.parsing.limits import Limits
from ingest_email.parsing.mail import Attachment, BodyPart, PartKind
from ingest_email.parsing.parameters import MediaType, disposition
from ingest_email.parsing.structure import Part
from ingest_email.parsing.transfer import decode_transfer
from ingest_email.parsing.words import header_text, one_line

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_STUB = re.compile(r"\bhtml\b|view (?:it|this|the) .{0,40}(?:online|browser)", re.IGNORECASE)
_STUB_CHARS = 300
_CONTENT_ID = re.compile(r"[^<>\s]+")
_NOWHERE = MediaType("", {})
_ALTERNATIVES_NOT_KEPT = frozenset({"text/x-amp-html", "text/watch-html"})
_ENCRYPTED = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
SMIME_PLACEHOLDER = "[This mail is encrypted or signed as a whole (S/MIME); its text cannot be shown. The file is attached.]"
PGP_PLACEHOLDER = "[This mail is encrypted (PGP); its text cannot be shown. The encrypted file is attached.]"


@dataclass(slots=True)
class Section:
    """One piece of the body: in a multipart/alternative the text and the HTML say the same."""

    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)

    def marked_text(self, limits: Limits) -> str:
        """The text to show; HTML is read only where no text says it, and carries the marks of html_text."""
        text = "\n".join(self.texts)
        if not self.htmls or (text.strip() and not _is_stub(text)):
            return text
        shown = html_to_text("\n".join(self.htmls)[: limits.html_as_text_bytes])
        return shown if len(shown) > len(text.strip()) or not text.strip() else text


def _is_stub(text: str) -> bool:
    """ "Your client cannot show HTML": a text that says nothing."""
    return len(text) <= _STUB_CHARS and _STUB.search(text) is not None


@dataclass(slots=True)
class Content:
    """What the walk found. ``leaves``: every part's decoded bytes, line ends of text made equal, for the content key."""

    raw: bytes
    limits: Limits
    defects: list[str]
    sections: list[Section] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    placeholder: str | None = None
    charset: str | None = None
    _order: list[tuple[PartKind, str | int]] = field(default_factory=list)
    _files: list[tuple[Attachment, str]] = field(default_factory=list)

    def walk(self, part: Part, section: Section | None = None, *, root: bool = False) -> None:
        """Reads a part and all below it."""
        if not part.children:
            self._leaf(part, section, root=root)
            return
        if part.type.name == "multipart/encrypted":
            self.placeholder = PGP_PLACEHOLDER
        if part.type.name == "multipart/alternative" and section is None:
            section = Section()
            self.sections.append(section)
        for child in part.children:
            self.walk(child, section)

    def _leaf(self, part: Part, section: Section | None, *, root: bool) -> None:
        data = decode_transfer(self.raw[part.start : part.end], part.first(b"content-transfer-encoding"))
        name = part.type.name
        declared = part.first(b"content-disposition")
        where = disposition(declared) if declared is not None else _NOWHERE
        file_name = declared_name(part.type, where)
        is_text = name in {"text/plain", "text/html"} or (name.startswith("text/") and root)
        self.leaves.append(data.replace(b"\r\n", b"\n").rstrip() if is_text else data)
        if is_text and where.name != "attachment" and (file_name is None or root or section is not None):
            self._body(part, data, section)
        elif section is None or name not in _ALTERNATIVES_NOT_KEPT:
            self._file(part, data, where, file_name)

    def _body(self, part: Part, data: bytes, section: Section | None) -> None:
        if len(data) > self.limits.text_bytes:
            self._note("long_text")
            data = data[: self.limits.text_bytes]
        is_html = part.type.name == "text/html"
        charset = part.type.params.get("charset") or (_meta_charset(data) if is_html else None)
        self.charset = self.charset or charset
        text = without_controls(decode(data, charset)).replace("\r\n", "\n").replace("\r", "\n")
        if not is_html and part.type.params.get("format", "").lower() == "flowed":
            text = unflow(text, delete_space=part.type.params.get("delsp", "").lower() == "yes")
        if section is None:
            section = Section()
            self.sections.append(section)
        (section.htmls if is_html else section.texts).append(text)
        self._order.append((PartKind.HTML if is_html else PartKind.TEXT, text))

    def _file(self, part: Part, data: bytes, where: MediaType, file_name: str | None) -> None:
        if part.type.name in _ENCRYPTED:
            self.placeholder = self.placeholder or SMIME_PLACEHOLDER
        content_id = header_text(part.first(b"content-id"))
        cid = _CONTENT_ID.search(content_id) if content_id else None
        made = Attachment(
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            media_type=part.type.name,
            sniffed_type=sniff(data),
            file_name=file_name or _default_name(part, data),
            inline=False,
            content_id=cid[0] if cid is not None else None,
            payload=data,
        )
        self._order.append((PartKind.MEDIA, len(self._files)))
        self._files.append((made, where.name))

    def _note(self, defect: str) -> None:
        if defect not in self.defects:
            self.defects.append(defect)

    def html(self) -> str | None:
        """All HTML as sent, or None."""
        htmls = [html for section in self.sections for html in section.htmls]
        return "\n".join(htmls) if htmls else None

    def attachments(self, html: str | None) -> tuple[Attachment, ...]:
        """The files, in order; inline is what the body shows: named by the HTML, or an image placed between texts."""
        named = frozenset(_cids(html)) if html else frozenset()
        return tuple(_placed(one, where, named, html is not None) for one, where in self._files)

    def parts(self) -> tuple[BodyPart, ...]:
        """Text, HTML and files in the order of the mail."""
        return tuple(BodyPart(kind, self._files[what][0].sha256 if isinstance(what, int) else what) for kind, what in self._order)


_CID = re.compile(r"cid:([^\"'\s<>)]{1,998})", re.IGNORECASE)


def _cids(html: str) -> list[str]:
    return [one.replace("%40", "@") for one in _CID.findall(html)] if "cid:" in html.lower() else []


def _placed(file: Attachment, where: str, named: frozenset[str], has_html: bool) -> Attachment:
    if file.content_id is not None and has_html:
        inline = file.content_id in named
    else:
        inline = where == "inline" and file.media_type.startswith("image/")
    if not inline:
        return file
    return Attachment(
        file.sha256,
        file.size,
        file.media_type,
        file.sniffed_type,
        file.file_name,
        True,
        file.content_id,
        file.payload,
    )


def _default_name(part: Part, data: bytes) -> str | None:
    """A forwarded mail is named after its subject; other files without a name stay without one."""
    if part.type.name == "message/rfc822":
        subject = _nested_subject(data)
        return safe_name(f"{subject}.eml") if subject else "message.eml"
    if part.type.name == "text/calendar":
        return "invite.ics"
    return "winmail.dat" if part.type.name == "application/ms-tnef" else None


_SUBJECT = re.compile(rb"^subject:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.IGNORECASE | re.MULTILINE)


def _nested_subject(data: bytes) -> str | None:
    match = _SUBJECT.search(data, 0, 64 * 1024)
    text = header_text(match[1]) if match is not None else None
    return one_line(text.replace("/", "-").replace("\\", "-"))[:150] if text else None


def _meta_charset(data: bytes) -> str | None:
    match = _META_CHARSET.search(data, 0, 2048)
    return match[1].decode("ascii") if match is not None else None
