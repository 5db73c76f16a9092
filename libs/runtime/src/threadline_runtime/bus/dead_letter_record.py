"""Dead letters as records: the original's key, value and headers, and behind them why it was set aside.

A record too large for that lies in a blob, which the letter names (`large_letters`). Not here: when a record is set aside (`processing`)
and what people do with it (`dead_letters`).
"""

from datetime import datetime

from pydantic import ValidationError
from threadline_events.model import spell_time
from threadline_events.topics import dead_letter_topic

from threadline_runtime.bus.port import DeadLetter, Position, RawRecord, Received

__all__ = [
    "LETTER_BYTES",
    "Headers",
    "blob_of",
    "dead_letter_record",
    "describe",
    "named_blob",
    "original_headers",
    "original_position",
    "redriven_headers",
    "redrives",
    "without_reasons",
]

LETTER_BYTES = 1024 * 1024 + 256 * 1024
"""What a dead letter topic takes: a little more than the others, for the reasons."""

Headers = tuple[tuple[str, bytes | None], ...]
_TOPIC, _PARTITION, _OFFSET = "dlq_topic", "dlq_partition", "dlq_offset"
_LENGTH = 12
_BLOB = "dlq_blob"
_REDRIVES = "dlq_redrives"
_LONGEST = 500


def dead_letter_record(
    record: Received, letter: DeadLetter, *, group: str, service: str, version: str, first_at: datetime, last_at: datetime
) -> RawRecord:
    """The record for `<topic>.dlq`; always the same number of headers is put behind the original ones."""
    place = record.position
    why = {
        _TOPIC: place.topic,
        _PARTITION: str(place.partition),
        _OFFSET: str(place.offset),
        "dlq_timestamp": spell_time(record.timestamp),
        "dlq_group": group,
        "dlq_error_class": letter.error_class,
        "dlq_message": letter.message,
        "dlq_attempts": str(letter.attempts),
        "dlq_first_at": spell_time(first_at),
        "dlq_last_at": spell_time(last_at),
        "dlq_service": service,
        "dlq_version": version,
    }
    headers = record.raw_headers + tuple((name, value.encode("utf-8", "replace")) for name, value in why.items())
    return RawRecord(dead_letter_topic(place.topic), record.key, record.value, headers)


def original_headers(letter: Received) -> Headers:
    """The headers that the record had before it was set aside for the first time."""
    kept, _ = without_reasons(letter.raw_headers)
    return kept[:-1] if redrives(letter) else kept


def redrives(letter: Received) -> int:
    """How often the record was put back on its topic before it came to lie here."""
    kept, _ = without_reasons(letter.raw_headers)
    name, value = kept[-1] if kept else ("", None)
    return int(value) if name == _REDRIVES and value is not None and value.isdigit() and len(value) < _LENGTH else 0


def redriven_headers(letter: Received) -> Headers:
    """The headers under which it is put back: its own, and behind them how often that was done."""
    return (*original_headers(letter), (_REDRIVES, b"%d" % (redrives(letter) + 1)))


def without_reasons(headers: Headers) -> tuple[Headers, Headers]:
    """A letter's headers as the record's own and those that were put behind them."""
    length = _LENGTH + 1 if headers and headers[-1][0] == _BLOB else _LENGTH
    return headers[:-length], headers[-length:]


def named_blob(reasons: Headers, key: str) -> Headers:
    """The reasons of a letter whose record lies in this blob. The name comes last, where no foreign header can stand."""
    return (*reasons, (_BLOB, key.encode()))


def blob_of(headers: Headers) -> str | None:
    """The blob that a letter names."""
    name, value = headers[-1] if headers else ("", None)
    return value.decode("utf-8", "replace") if name == _BLOB and value is not None else None


def original_position(letter: Received) -> Position | None:
    """Where the record lay that was set aside; None where the letter is none of ours."""
    try:
        return Position(letter.headers[_TOPIC].decode(), int(letter.headers[_PARTITION]), int(letter.headers[_OFFSET]))
    except (KeyError, ValueError):
        return None


def describe(error: Exception) -> str:
    """One line about an error; of a model that did not fit only the places and kinds, never what stood there."""
    if isinstance(error, ValidationError):
        parts = [
            f"{'.'.join(map(str, e['loc']))}: {e['type']}"
            for e in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        text = "; ".join(parts)
    else:
        text = str(error)
    return " ".join(text.split())[:_LONGEST]
