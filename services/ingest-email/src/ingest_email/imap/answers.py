"""Reads what a server answers: FETCH, SEARCH and SELECT lines, dates, and why it refuses. Pure.

Only attributes that aioimaplib hands over unharmed are read: it deletes every `* ` inside a line, so no envelopes, no header strings.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum

__all__ = ["FetchedItem", "Mailbox", "Refusal", "internal_date", "read_fetch", "read_mailbox", "read_search", "refusal_of", "search_date"]

_START = re.compile(rb"\d+ FETCH \(")
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_DATE = re.compile(rb'\bINTERNALDATE "([^"]*)"')
_QUOTED_BODY = re.compile(rb'\bBODY\[\](?:<\d+>)? "((?:[^"\\]|\\.)*)"')
_INTERNAL = re.compile(r"\s*(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CODE = re.compile(r"\[([A-Z-]+)")

Line = bytes | bytearray


@dataclass(frozen=True, slots=True)
class FetchedItem:
    """One FETCH answer; `body` is None where the mail is gone or was not asked for."""

    uid: int
    size: int | None
    internal_date: datetime | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What SELECT or EXAMINE told. `uid_next` is 0 where the server keeps it to itself; `keywords` where new ones may be made."""

    uid_validity: int
    uid_next: int
    exists: int
    keywords: bool
    is_uid_next_guessed: bool = False


class Refusal(StrEnum):
    """What a NO or BAD means for us."""

    CREDENTIALS = "credentials"
    BUSY = "busy"
    MISSING = "missing"
    OTHER = "other"


_REFUSALS = {
    "AUTHENTICATIONFAILED": Refusal.CREDENTIALS,
    "AUTHORIZATIONFAILED": Refusal.CREDENTIALS,
    "EXPIRED": Refusal.CREDENTIALS,
    "UNAVAILABLE": Refusal.BUSY,
    "LIMIT": Refusal.BUSY,
    "INUSE": Refusal.BUSY,
    "THROTTLED": Refusal.BUSY,
    "SERVERBUG": Refusal.BUSY,
    "OVERQUOTA": Refusal.BUSY,
    "NONEXISTENT": Refusal.MISSING,
    "TRYCREATE": Refusal.MISSING,
}


def read_fetch(lines: Sequence[Line]) -> list[FetchedItem]:
    """The FETCH answers of one command. Answers without a UID (another session changed flags) are left out."""
    items = (_item(answer) for answer in _answers(lines))
    return [item for item in items if item is not None]


def _answers(lines: Sequence[Line]) -> Iterator[list[Line]]:
    answer: list[Line] = []
    for line in lines[:-1]:  # the last is the tagged text
        if isinstance(line, bytes) and _START.match(line):
            if answer:
                yield answer
            answer = []
        answer.append(line)
    if answer:
        yield answer


def _item(answer: Sequence[Line]) -> FetchedItem | None:
    text = b" ".join(line for line in answer if isinstance(line, bytes))
    uid = _UID.search(text)
    if uid is None:
        return None
    size, when = _SIZE.search(text), _DATE.search(text)
    literal = next((line for line in answer if isinstance(line, bytearray)), None)
    body = bytes(literal) if literal is not None else _quoted_body(text)
    return FetchedItem(
        int(uid[1]), int(size[1]) if size else None, internal_date(when[1].decode("ascii", "replace")) if when else None, body
    )


def _quoted_body(text: bytes) -> bytes | None:
    # A short body may come as a quoted string.
    match = _QUOTED_BODY.search(text)
    return re.sub(rb"\\(.)", rb"\1", match[1]) if match else None


def read_search(lines: Sequence[Line]) -> list[int]:
    """The UIDs of a SEARCH answer, ascending, each once."""
    numbers = {int(word) for line in lines[:-1] for word in bytes(line).split() if word.isdigit()}
    return sorted(numbers)


def read_mailbox(lines: Sequence[Line]) -> Mailbox:
    """What SELECT told. Raises ValueError where the server gives no UIDVALIDITY: nothing could be resumed there."""
    text = b"\n".join(bytes(line) for line in lines)
    validity = re.search(rb"\[UIDVALIDITY (\d+)", text)
    if validity is None:
        raise ValueError("the server gives no UIDVALIDITY")
    following = re.search(rb"\[UIDNEXT (\d+)", text)
    exists = re.findall(rb"^(\d+) EXISTS", text, re.MULTILINE)
    flags = re.search(rb"\[PERMANENTFLAGS \(([^)]*)\)", text)
    return Mailbox(
        uid_validity=int(validity[1]),
        uid_next=int(following[1]) if following else 0,
        exists=int(exists[-1]) if exists else 0,
        keywords=flags is not None and b"\\*" in flags[1],
    )


def internal_date(text: str) -> datetime | None:
    """An INTERNALDATE as an aware UTC time, None where it is not one."""
    match = _INTERNAL.fullmatch(text)
    if match is None or match[2].lower() not in _MONTHS:
        return None
    offset = timedelta(hours=int(match[8]), minutes=int(match[9])) * (1 if match[7] == "+" else -1)
    month = _MONTHS.index(match[2].lower()) + 1
    try:
        zone = timezone(offset)
        there = datetime(int(match[3]), month, int(match[1]), int(match[4]), int(match[5]), min(int(match[6]), 59), tzinfo=zone)
        return there.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def search_date(day: date) -> str:
    """A day as SEARCH spells it, whatever the locale."""
    return f"{day.day}-{_MONTHS[day.month - 1].capitalize()}-{day.year}"


def refusal_of(lines: Sequence[Line]) -> tuple[Refusal, str]:
    """Why a server said no, and its code (or `NO`); its free text may name people and is not repeated."""
    text = bytes(lines[-1]).decode("ascii", "replace") if lines else ""
    match = _CODE.search(text)
    code = match[1] if match else "NO"
    return _REFUSALS.get(code, Refusal.OTHER), code
