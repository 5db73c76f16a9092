"""Entries made ready for a reader: HTML sanitised, long texts whole again, ids instead of provider's ids where they are known.

Not here: which entries a reader may have (`reading`), and what a document shows at all (`router.domain.views`).
"""

import asyncio
from collections.abc import Mapping, Sequence

from threadline_events.timeline import Entry
from threadline_runtime.blobs.port import BlobMissing, BlobStore

from router.api.html import safe_html

__all__ = ["WHOLE_TEXTS", "safe", "safe_all", "whole"]

WHOLE_TEXTS = 8 * 1024 * 1024
_LONG_HTML = 32 * 1024
_TEXTS = ("text", "reply_text", "quoted_text")


def _images(entry: Entry) -> dict[str, str]:
    return {one.content_id: f"/v1/attachments/{one.sha256}" for one in entry.attachments if one.content_id and one.sha256}


def safe(entry: Entry) -> Entry:
    """The entry with its HTML sanitised; nothing else is changed."""
    if not any(part.html for part in entry.parts):
        return entry
    images = _images(entry)
    parts = tuple(part.model_copy(update={"html": safe_html(part.html, images)}) if part.html else part for part in entry.parts)
    return entry.model_copy(update={"parts": parts})


async def safe_all(entries: Sequence[Entry]) -> list[Entry]:
    """The same for many; long HTML is cleaned in a thread, so that no reader waits for another's mail."""
    if sum(len(part.html or "") for entry in entries for part in entry.parts) > _LONG_HTML:
        return await asyncio.to_thread(lambda: [safe(entry) for entry in entries])
    return [safe(entry) for entry in entries]


async def whole(entries: Sequence[Entry], blobs: BlobStore, budget: int = WHOLE_TEXTS) -> list[Entry]:
    """The entries with what was cut put back from the blobs, up to `budget` bytes a call.

    What does not fit stays cut and named in `cut`: the message by itself has it.
    """
    answers = []
    for entry in entries:
        put_back, budget = await _put_back(entry, blobs, budget) if entry.cut else (entry, budget)
        answers.append(put_back)
    return answers


async def _put_back(entry: Entry, blobs: BlobStore, budget: int) -> tuple[Entry, int]:
    texts: dict[str, str] = {}
    for field, key in entry.cut.items():
        if field not in {*_TEXTS, "html"}:
            continue
        try:
            size = await blobs.size(key)
            if size > budget:
                continue
            texts[field] = (await blobs.get(key)).decode("utf-8", "replace")
            budget -= size
        except BlobMissing:
            continue
    return _with_texts(entry, texts), budget


def _with_texts(entry: Entry, texts: Mapping[str, str]) -> Entry:
    changed: dict[str, object] = {field: text for field, text in texts.items() if field in _TEXTS}
    changed["cut"] = {field: key for field, key in entry.cut.items() if field not in texts}
    parts = list(entry.parts)
    for index, part in enumerate(parts):
        if part.type == "html" and "html" in texts:
            parts[index] = part.model_copy(update={"html": texts["html"]})
            break
    for index, part in enumerate(parts):
        if part.type == "text" and "text" in texts:
            parts[index] = part.model_copy(update={"text": texts["text"]})
            break
    changed["parts"] = tuple(parts)
    return entry.model_copy(update=changed)
