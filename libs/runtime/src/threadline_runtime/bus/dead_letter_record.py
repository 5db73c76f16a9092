"""Dead letters as records: the original's key, value and headers, and behind them why it was set aside.

Not here: when a record is set aside (`processing`) and what people do with it (`dead_letters`).
"""

from datetime import datetime

from pydantic import ValidationError
from threadline_events.model import spell_time
from threadline_events.topics import dead_letter_topic

from threadline_runtime.bus.port import DeadLetter, Position, RawRecord, Received

__all__ = ["dead_letter_record", "describe", "original_headers", "original_position", "redriven_headers", "redrives"]

_TOPIC, _PARTITION, _OFFSET = "dlq_topic", "dlq_partition", "dlq_offset"
_LENGTH = 12
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


def original_headers(letter: Received) -> tuple[tuple[str, bytes | None], ...]:
    """The headers that the record had before it was set aside for the first time."""
    kept = letter.raw_headers[:-_LENGTH]
    return kept[:-1] if redrives(letter) else kept


def redrives(letter: Received) -> int:
    """How often the record was put back on its topic before it came to lie here."""
    name, value = letter.raw_headers[-_LENGTH - 1] if len(letter.raw_headers) > _LENGTH else ("", None)
    return int(value) if name == _REDRIVES and value is not None and value.isdigit() and len(value) < _LENGTH else 0


def redriven_headers(letter: Received) -> tuple[tuple[str, bytes | None], ...]:
    """The headers under which it is put back: its own, and behind them how often that was done."""
    return (*original_headers(letter), (_REDRIVES, b"%d" % (redrives(letter) + 1)))


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
