"""The rate breaker: machines that answer each other are stopped by how often they write, not only by their headers.

Not here: what headers say (`hints.is_auto_reply`, read by the connector).
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from router.domain.documents import Recent

__all__ = ["WINDOW", "body_digest", "is_looping", "remember"]

WINDOW = timedelta(minutes=10)
_ALLOWED = 5
_SIZE = 600
_REMEMBERED = 0x10000


class _Letters(dict[int, str]):
    """Letters as they are and a blank for all else, worked out when a character first comes; the rarest are not remembered."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        shown = letter if letter.isalnum() and not letter.isdecimal() else " "
        if code < _REMEMBERED:
            self[code] = shown
        return shown


_LETTERS = _Letters()


def body_digest(text: str, files: Sequence[str] = ()) -> str:
    """Equal for near-equal bodies: numbers, dates, punctuation and case do not count, unless there is nothing else. Files do count."""
    start = text[:_SIZE].casefold()
    words = " ".join(start.translate(_LETTERS).split()) or start
    return hashlib.blake2b("\x1f".join((words, *files)).encode("utf-8", "replace"), digest_size=6).hexdigest()


def is_looping(recent: Sequence[Recent], at: datetime, body: str) -> bool:
    """Whether more than five near-equal messages came within ten minutes, this one included."""
    return sum(1 for r in recent if r.body == body and abs(at - r.at) <= WINDOW) >= _ALLOWED


def remember(recent: tuple[Recent, ...], at: datetime, body: str) -> tuple[Recent, ...]:
    """The list with one more, and no more of it than the breaker needs."""
    kept = [r for r in recent if at - r.at <= WINDOW]
    return (*kept[-_ALLOWED + 1 :], Recent.of_valid(at=at, body=body))
