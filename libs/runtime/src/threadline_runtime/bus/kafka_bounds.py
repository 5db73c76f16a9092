"""Has aiokafka hand out a bounded number of bytes at once: by itself it counts records, and 500 may be of a megabyte each.

What was fetched stays compressed until it is handed out, so fetch sizes bound that part. Written against aiokafka 0.14, which
offers no other place for this; a test with a real Kafka goes red when that changes.
"""

from typing import Any

from aiokafka.consumer.fetcher import FetchResult

__all__ = ["PARTITION_BATCH_BYTES", "bound_batches"]

PARTITION_BATCH_BYTES = 1024 * 1024
"""Of one partition in one batch; the record that reaches it is the last one, so a batch always has one."""


def bound_batches() -> None:
    """Have every consumer of this process hand out so much and no more; a second call changes nothing."""
    FetchResult.getall = _getall


def _getall(result: Any, max_records: int | None = None) -> list[Any]:
    """In the place of FetchResult.getall, which differs in that it knows no bytes."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    found: list[Any] = []
    left = PARTITION_BATCH_BYTES
    for record in result._partition_records:
        found.append(record)
        left -= len(record.value or b"") + len(record.key or b"")
        for _, value in record.headers:
            left -= len(value or b"")
        if left <= 0 or len(found) == max_records:
            result._update_position()
            return found
    result._update_position()
    result._partition_records = None
    return found
