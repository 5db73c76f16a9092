"""Single header fields with a form of their own: Message-IDs, dates, Thread-Index, Return-Path.

Not here: addresses, parameters, authentication results.
"""

import binascii
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from ingest_email.parsing.addresses import usable
from ingest_email.parsing.charsets import decode_raw_header
from ingest_email.parsing.limits import MAX_ID_CHARS
from ingest_email.parsing.parameters import unfold
from ingest_email.parsing.transfer import decode_base64
from ingest_email.parsing.words import one_line

_ID = re.compile(r"<([^<>\s]+)>")
_NO_ID = re.compile(r"[<>\s\x00-\x1f\x7f]+")
_DATE = re.compile(
    rb"\s*+(?:[A-Za-z]{3},?\s*+)?(\d{1,2})\s++([A-Za-z]{3})\s++(\d{4})\s++(\d{1,2}):(\d\d)(?::(\d\d))?\s++([+-])(\d\d)(\d\d)\b"
)
_MONTHS = {m: i for i, m in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_THREAD_INDEX_ROOT = 22


def message_ids(values: list[bytes] | None, limit: int) -> tuple[str, ...]:
    """All ids in brackets, in order, each once. Above ``limit`` the first and the last ones: root and parent matter most."""
    if not values:
        return ()
    text = " ".join(decode_raw_header(unfold(value)) for value in values)
    found = tuple(dict.fromkeys(one for one in _ID.findall(text) if len(one) <= MAX_ID_CHARS and one.isprintable()))
    if len(found) > limit:
        found = found[: limit // 2] + found[-(limit - limit // 2) :]
    return found


def message_id(value: bytes | None) -> str | None:
    """The first id; one without brackets or with spaces in it is taken without them. None where nothing is left."""
    if value is None:
        return None
    found = message_ids([value], 1)
    if found:
        return found[0]
    bare = one_line(_NO_ID.sub("", decode_raw_header(unfold(value))))
    return bare if 0 < len(bare) <= MAX_ID_CHARS else None


def date(value: bytes | None) -> datetime | None:
    """The instant in UTC; None where it cannot be read. A zone of ``-0000`` or none counts as UTC."""
    if value is None:
        return None
    match = _DATE.match(value)
    if match is None:
        return _odd_date(value)
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    number = _MONTHS.get(month.lower())
    if number is None:
        return None
    offset = (int(zone_hours) * 60 + int(zone_minutes)) * (-1 if sign == b"-" else 1)
    return _instant(int(year), number, int(day), int(hour), int(minute), min(int(second or 0), 59), offset * 60)


def _odd_date(value: bytes) -> datetime | None:
    try:
        read = parsedate_tz(decode_raw_header(unfold(value[:200])))
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    if read is None:
        return None
    return _instant(read[0], read[1], read[2], read[3], read[4], min(read[5], 59), read[9] or 0)


def _instant(year: int, month: int, day: int, hour: int, minute: int, second: int, offset: int) -> datetime | None:
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC) - timedelta(seconds=offset)
    except (ValueError, OverflowError):
        return None


def thread_index(value: bytes | None) -> str | None:
    """The root of an Outlook thread: the first 22 bytes in hexadecimal; equal roots are one thread."""
    if value is None:
        return None
    try:
        root = decode_base64(unfold(value))[:_THREAD_INDEX_ROOT]
    except binascii.Error:
        return None
    return root.hex() if len(root) == _THREAD_INDEX_ROOT else None


def return_path(value: bytes | None) -> str | None:
    """The envelope sender; an empty string is the null sender ``<>`` of automatic mail, None is no field."""
    if value is None:
        return None
    text = decode_raw_header(unfold(value)).partition("(")[0].strip()
    inner = text.removeprefix("<").partition(">")[0].strip()
    return "" if not inner and text.startswith("<") else usable(inner)
