"""Keeps an event within 512 KiB: long texts and long lists are cut, and each stands whole in a blob named beside it.

Pure: which blobs are to be written is handed back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel
from threadline_events.inbound import Hints, InboundEvent, Part
from threadline_events.records import Record, inbound_record
from threadline_runtime.blobs.keys import text_key

from threadline_connectors.errors import PayloadError

__all__ = ["MAX_EVENT_BYTES", "MAX_LIST", "MAX_TEXT_BYTES", "BlobWrite", "Fitted", "cut_to_size"]

MAX_EVENT_BYTES = 512 * 1024
MAX_TEXT_BYTES = 64 * 1024
MAX_LIST = 200
_SMALLEST_TEXT = 256


@dataclass(frozen=True, slots=True)
class BlobWrite:
    """A whole text that an event names: of which event, which field, and its bytes."""

    key: str
    data: bytes


@dataclass
class _Cut:
    """One event on its way to its size."""

    event: InboundEvent
    limit: int
    most: int
    names: dict[str, str] = field(default_factory=dict)
    blobs: list[BlobWrite] = field(default_factory=list)

    def keep_whole(self, name: str, data: bytes) -> None:
        key = text_key(self.event.event_id, name)
        self.names[name] = key
        self.blobs.append(BlobWrite(key, data))

    def text(self, name: str, value: str | None) -> str | None:
        if value is None:
            return None
        short = _shorten(value, self.limit)
        if short is not value:
            self.keep_whole(name, value.encode())
        return short

    def listed(self, name: str, values: Sequence[BaseModel]) -> Sequence[BaseModel]:
        if len(values) <= self.most:
            return values
        self.keep_whole(name, _json([value.model_dump(mode="json", by_alias=True) for value in values]))
        return values[: self.most]


@dataclass(frozen=True, slots=True)
class Fitted:
    """An event that fits, its record (spelled once, since spelling is most of the cost), and the blobs it names."""

    event: InboundEvent
    record: Record
    blobs: tuple[BlobWrite, ...]


def cut_to_size(event: InboundEvent) -> Fitted:
    """The event in at most 512 KiB. Raises PayloadError where its fixed part alone is too large."""
    limit, most = MAX_TEXT_BYTES, MAX_LIST
    while True:
        cut = _Cut(event, limit, most)
        small = _apply(cut)
        record = inbound_record(small)
        if len(record.value) <= MAX_EVENT_BYTES:
            return Fitted(small, record, tuple(cut.blobs))
        if limit <= _SMALLEST_TEXT:
            raise PayloadError("event_too_large", f"the event has more than {MAX_EVENT_BYTES} bytes after every text was cut")
        limit, most = limit // 2, max(most // 2, 10)


def _apply(cut: _Cut) -> InboundEvent:
    event = cut.event
    changes: dict[str, object] = {
        "subject": cut.text("subject", event.subject),
        "text": cut.text("text", event.text),
        "reply_text": cut.text("reply_text", event.reply_text),
        "quoted_text": cut.text("quoted_text", event.quoted_text),
        "participants": cut.listed("participants", event.participants),
        "attachments": cut.listed("attachments", event.attachments),
        "hints": _hints(cut),
        "parts": _parts(cut),
    }
    if all(changes[name] is getattr(event, name) for name in changes):
        return event
    return event.model_copy(update={**changes, "cut": cut.names})


def _hints(cut: _Cut) -> Hints:
    hints = cut.event.hints
    references = hints.references
    if len(references) <= cut.most:
        return hints
    cut.keep_whole("references", _json(list(references)))
    # The first names the thread, the last are what a reply answers: both decide where a mail belongs.
    kept = references[: cut.most // 2] + references[-(cut.most - cut.most // 2) :]
    return hints.model_copy(update={"references": kept})


def _parts(cut: _Cut) -> tuple[Part, ...]:
    parts = cut.event.parts
    short = tuple(_part(part, cut) for part in parts[: cut.most])
    if len(short) == len(parts) and all(one is other for one, other in zip(short, parts, strict=True)):
        return parts
    page = next((part.html for part in parts if part.html is not None), None)
    if page is not None and len(page.encode()) > cut.limit:
        cut.keep_whole("html", page.encode())
    cut.keep_whole("parts", _json([part.model_dump(mode="json") for part in parts]))
    return short


def _part(part: Part, cut: _Cut) -> Part:
    text = _shorten(part.text, cut.limit) if part.text is not None else None
    html = _shorten(part.html, cut.limit) if part.html is not None else None
    if text is part.text and html is part.html:
        return part
    return part.model_copy(update={"text": text, "html": html})


def _shorten(value: str, limit: int) -> str:
    if len(value) * 4 <= limit:
        return value
    data = value.encode()
    return value if len(data) <= limit else data[:limit].decode(errors="ignore")


def _json(value: Sequence[str] | Sequence[Mapping[str, object]]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
