"""The names of blobs: each kind is spelled in one function here, and nowhere else.

A key is made of plain segments, so it can never leave the store's folder.
"""

import re

__all__ = ["RESERVED_BRANDS", "attachment_key", "check_key", "dead_letter_key", "raw_key", "text_key"]

RESERVED_BRANDS = frozenset({"dead-letters", "raw", "text", "trash"})
"""Brands may not have these names: their attachments would lie among other blobs (`trash` is for the erasure to come)."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def raw_key(intake_id: str) -> str:
    """The untouched bytes of an intake."""
    return check_key(f"raw/{intake_id}")


def attachment_key(brand: str, sha256: str) -> str:
    """An attachment, once a brand however often it comes."""
    if brand in RESERVED_BRANDS or not _SHA256.fullmatch(sha256):
        raise ValueError("an attachment needs a brand and the sha256 of its bytes in hex")
    return check_key(f"{brand}/{sha256}")


def text_key(event_id: str, part: str) -> str:
    """A text that is too long for its event; `part` says which (text, html, quoted_text, ...)."""
    return check_key(f"text/{event_id}/{part}")


def dead_letter_key(sha256: str) -> str:
    """A record that is too large for a dead letter; by its bytes, so that what a letter names is never replaced."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError("a dead letter's record is named by its sha256 in hex")
    return check_key(f"dead-letters/{sha256}")


def check_key(key: str) -> str:
    """The same key, or ValueError where it is no plain path of two or more segments."""
    segments = key.split("/")
    if len(segments) < 2 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError("a blob's key is two or more plain segments")
    return key
