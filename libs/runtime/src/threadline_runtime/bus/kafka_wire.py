"""Lets aiokafka read a record whose header names are no UTF-8: by itself it raises at it for ever, and the partition stands still.

Such a name is shown with its odd bytes spelled out (`\\xff`); key, value and header values stay as they are. Written against
aiokafka 0.14, whose fetcher offers no other place for this; a test with a real Kafka goes red when that changes.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

__all__ = ["survive_header_names"]

_LENGTH_AT = 8
_BEFORE_LENGTH = 12


def survive_header_names() -> None:
    """Have every consumer of this process read through `_Records`; a second call changes nothing."""
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's batches of one answer, each with the bytes it was read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> "_Batch":
        start = self._at
        length = int.from_bytes(self._data[start + _LENGTH_AT : start + _BEFORE_LENGTH], "big")
        self._at = start + _BEFORE_LENGTH + length
        return _Batch(self._records.next_batch(), self._data[start : self._at])


class _Batch:
    """A batch; where a header's name cannot be decoded the rest is read again, slowly."""

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> object:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        done = 0
        try:
            for record in self._batch:
                done += 1
                yield record
        except (UnicodeDecodeError, CorruptRecordException):
            yield from islice(_TolerantBatch(self._data), done, None)


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc] # the client library has no types
    """aiokafka's own reader in Python, over bytes that decode whatever they are. A batch that is broken still raises."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        if not isinstance(self._buffer, _Bytes):
            self._buffer = _Bytes(self._buffer)


class _Bytes(bytearray):
    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return _Bytes(part) if isinstance(at, slice) else part

    def decode(self, *_: str) -> str:
        return super().decode("utf-8", "backslashreplace")
