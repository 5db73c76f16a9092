"""Keyset cursors: the sort values and id of the last item of a page, spelled so that nobody is tempted to make one.

A cursor knows which listing it belongs to; one from elsewhere is refused. It grants nothing: every page asks for the brand again.
"""

import base64
import binascii
import json
from datetime import datetime

from threadline_events.model import cut_to_millisecond, spell_time

from router.api.problems import Problem

__all__ = ["MAX_LENGTH", "decode_cursor", "encode_cursor", "read_time"]

MAX_LENGTH = 8192


def encode_cursor(listing: str, *values: str | datetime) -> str:
    """The cursor that stands behind `values` in `listing`."""
    spelled = [spell_time(value) if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps([listing, *spelled], separators=(",", ":")).encode()).rstrip(b"=").decode()


def decode_cursor(listing: str, cursor: str, count: int) -> list[str]:
    """The `count` values in a cursor of `listing`; raises Problem 400 for any other text."""
    try:
        if len(cursor) > MAX_LENGTH:
            raise ValueError("too long")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True)
        values = json.loads(plain)
        json.dumps(values, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _bad_cursor() from error
    if not isinstance(values, list) or len(values) != count + 1 or values[0] != listing or not all(isinstance(v, str) for v in values):
        raise _bad_cursor()
    return [str(value) for value in values[1:]]


def read_time(text: str) -> datetime:
    """A time inside a cursor; raises Problem 400."""
    try:
        return cut_to_millisecond(datetime.fromisoformat(text))
    except ValueError as error:
        raise _bad_cursor() from error


def _bad_cursor() -> Problem:
    return Problem(400, "bad_cursor", "`after` is not a cursor of this listing: leave it out to begin anew.")
