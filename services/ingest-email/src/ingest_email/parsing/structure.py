"""Finds the parts of a mail in its bytes: header fields, boundaries, nesting. Offsets only, nothing is copied or decoded.

Written by hand because the standard library's feed parser walks line by line in Python, which is most of its cost.
Not here: transfer encodings, charsets, and what a part is good for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest_email.parsing.limits import Limits
from ingest_email.parsing.parameters import MediaType, media_type

# Possessive repeats: a header block is walked once, whatever is in it.
_BLOCK = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\n]*+(?:\n|\Z)|[ \t][^\n]*+(?:\n|\Z))*+")
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
_MBOX = re.compile(rb"(?:\s|>?From [^\n]*\n)*+")
_BLANK_LINE = re.compile(rb"\r?\n")
_TAIL = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")
# A broken fold leaves a line without a colon; these fields after it show that the header goes on.
_KNOWN_FIELD = re.compile(
    rb"(?:content-[a-z-]+|mime-version|from|to|cc|subject|date|message-id|received|in-reply-to|references|reply-to"
    rb"|return-path|list-[a-z]+|x-[!-9;-~]+)[ \t]*:",
    re.IGNORECASE,
)
_FIRST_DELIMITER = re.compile(rb"\s*+--([^\r\n]{1,200})\r?\ncontent-", re.IGNORECASE)

type_text = MediaType("text/plain", {})
type_opaque = MediaType("application/octet-stream", {})


@dataclass(frozen=True, slots=True)
class Part:
    """One entity. ``start`` and ``end`` bound its body in the mail's bytes; a leaf has no ``children``."""

    fields: Mapping[bytes, list[bytes]]
    type: MediaType
    start: int
    end: int
    children: tuple["Part", ...] = ()

    def first(self, name: bytes) -> bytes | None:
        """The first field of that lower-case name, unfolded by nobody yet."""
        values = self.fields.get(name)
        return values[0] if values else None


@dataclass(slots=True)
class _Scan:
    raw: bytes
    limits: Limits
    parts_left: int
    defects: list[str] = field(default_factory=list)

    def note(self, defect: str) -> None:
        if defect not in self.defects:
            self.defects.append(defect)

    def entity(self, start: int, end: int, depth: int, default: MediaType) -> Part:
        self.parts_left -= 1
        fields, body = self.header(start, end)
        declared = fields.get(b"content-type")
        kind = media_type(declared[0], default) if declared else default
        if kind.name.startswith("multipart/"):
            return self.multipart(Part(fields, kind, body, end), depth)
        return Part(fields, kind, body, end)

    def header(self, start: int, end: int) -> tuple[dict[bytes, list[bytes]], int]:
        raw, limits = self.raw, self.limits
        stop = min(end, start + limits.header_block_bytes)
        fields: dict[bytes, list[bytes]] = {}
        position = start
        for _ in range(limits.header_fields):
            block_end = _end_of(_BLOCK.match(raw, position, stop), position)
            self.collect(fields, position, block_end)
            blank = _BLANK_LINE.match(raw, block_end, end)
            if blank is not None:
                return fields, blank.end()
            line_end = raw.find(b"\n", block_end, stop)
            if line_end < 0 or _KNOWN_FIELD.match(raw, line_end + 1, stop) is None or block_end == start:
                break
            self.note("header_line")
            position = line_end + 1
        if block_end < end:
            self.note("no_blank_line_after_header")
        return fields, block_end

    def collect(self, fields: dict[bytes, list[bytes]], start: int, end: int) -> None:
        limit = self.limits.header_value_bytes
        found = _FIELD.findall(self.raw[start:end])
        if len(found) > self.limits.header_fields:
            self.note("too_many_header_fields")
            del found[self.limits.header_fields :]
        for name, value in found:
            if len(value) > limit:
                self.note("long_header")
                value = _cut(name, value, limit)  # noqa: PLW2901 - the same value, cut
            fields.setdefault(name.lower(), []).append(value)

    def multipart(self, part: Part, depth: int) -> Part:
        boundary = part.type.params.get("boundary", "").encode("utf-8", "surrogateescape")
        if depth >= self.limits.depth:
            self.note("too_deep")
            return Part(part.fields, type_opaque, part.start, part.end)
        spans = self.split(part.start, part.end, boundary) if boundary else []
        if not spans:
            self.note("no_boundary")
            guess = _FIRST_DELIMITER.match(self.raw, part.start, part.end)
            if guess is None:
                return Part(part.fields, type_text, part.start, part.end)
            spans = self.split(part.start, part.end, guess[1].rstrip())
        default = MediaType("message/rfc822", {}) if part.type.name == "multipart/digest" else type_text
        children = []
        for start, end in spans:
            if self.parts_left <= 0:
                self.note("too_many_parts")
                break
            children.append(self.entity(start, end, depth + 1, default))
        return Part(part.fields, part.type, part.start, part.end, tuple(children))

    def split(self, start: int, end: int, boundary: bytes) -> list[tuple[int, int]]:
        raw, delimiter = self.raw, b"--" + boundary
        spans: list[tuple[int, int]] = []
        opened = -1
        at = raw.find(delimiter, start, end)
        while at >= 0:
            tail = _TAIL.match(raw, at + len(delimiter), end)
            if tail is not None and (at == start or raw[at - 1] == 0x0A):
                if opened >= 0:
                    spans.append((opened, max(opened, _before_line_break(raw, at))))
                if tail[1] or len(spans) > self.limits.parts:
                    return spans
                opened = tail.end()
            at = raw.find(delimiter, at + len(delimiter), end)
        if opened >= 0:
            self.note("no_closing_boundary")
            spans.append((opened, end))
        return spans


def _cut(name: bytes, value: bytes, limit: int) -> bytes:
    """Of References both ends are kept: the root is first and the parent last."""
    if name.lower() == b"references":
        return value[: limit // 2] + b" " + value[-(limit // 2) :]
    return value[:limit]


def _before_line_break(raw: bytes, at: int) -> int:
    """A delimiter owns the line break before it."""
    if at > 0 and raw[at - 1] == 0x0A:
        at -= 1
        if at > 0 and raw[at - 1] == 0x0D:
            at -= 1
    return at


def _end_of(match: re.Match[bytes] | None, otherwise: int) -> int:
    return match.end() if match is not None else otherwise


def scan(raw: bytes, limits: Limits) -> tuple[Part, list[str]]:
    """The tree of parts and what was found broken. Never raises; a mail's nested mails are leaves."""
    state = _Scan(raw, limits, limits.parts)
    start = _end_of(_MBOX.match(raw), 0)
    root = state.entity(start, len(raw), 0, type_text)
    return root, state.defects
