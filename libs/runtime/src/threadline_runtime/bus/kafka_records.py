"""Kafka's records as the port's, bytes untouched; whatever a foreign producer wrote, nothing here raises."""

from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from threadline_runtime.bus.port import Position, Received

__all__ = ["received"]

_LATEST_MS = 253_402_300_799_999


def received(record: ConsumerRecord) -> Received:
    """A record as the port shows it."""
    raw = tuple(record.headers)
    headers = dict(raw)
    if None in headers.values():
        headers = {name: value for name, value in headers.items() if value is not None}
    # A foreign producer's own time may lie before 1970 or beyond what a datetime can hold.
    milliseconds = record.timestamp
    if not 0 <= milliseconds <= _LATEST_MS:
        milliseconds = 0 if milliseconds < 0 else _LATEST_MS
    written = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return Received(Position(record.topic, record.partition, record.offset), written, record.key, record.value, raw, headers)
