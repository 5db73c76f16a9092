"""Makes a sender's file name safe to store and show, and tells a file's type from its first bytes.

Not here: deciding what is an attachment (content.py).
"""

import re
from urllib.parse import unquote

from ingest_email.parsing.limits import MAX_FILE_NAME_BYTES
from ingest_email.parsing.parameters import MediaType
from ingest_email.parsing.words import decode_words, one_line

# Direction marks can make ``cod.exe`` read as ``exe.doc``.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_PATH = re.compile(r"[/\\]")
_UNSAFE = re.compile(r'[<>:"|?*]')
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
    (b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (b"OggS", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"BEGIN:VCALENDAR", "text/calendar"),
    (b"BEGIN:VCARD", "text/vcard"),
    (b"{\\rtf", "application/rtf"),
)


def sniff(data: bytes) -> str | None:
    """The type the first bytes speak for, or None; the declared type may be a lie."""
    head = data[:16]
    for signature, media_type in _SIGNATURES:
        if head.startswith(signature):
            return media_type
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}.get(data[8:12])
    if head[4:8] == b"ftyp":
        return "image/heic" if head[8:12] in {b"heic", b"heix", b"mif1"} else "video/mp4"
    return None


def declared_name(kind: MediaType, where: MediaType) -> str | None:
    """The name a part carries: Content-Disposition first, else Content-Type; made safe."""
    name = where.params.get("filename") or kind.params.get("name")
    return safe_name(name) if name else None


def safe_name(name: str) -> str | None:
    """The last path part, one line, no invisible or reserved characters, at most 200 bytes with its extension kept."""
    text = decode_words(name)
    if "''" in text and "%" in text:
        text = unquote(text.partition("''")[2])  # RFC 2231 value under a plain name
    text = _INVISIBLE.sub("", one_line(_PATH.split(text.rstrip("/\\"))[-1]))
    text = _UNSAFE.sub("_", text).strip(". ")
    return _short(text) or None


def _short(name: str) -> str:
    if len(name.encode("utf-8", "replace")) <= MAX_FILE_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = (dot + extension) if dot and len(extension) <= 10 else ""
    room = MAX_FILE_NAME_BYTES - len(tail.encode("utf-8", "replace"))
    kept = (stem if tail else name).encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    return kept.rstrip(". ") + tail
