"""The log's statements, for all bytes and all orders of publishing."""

import sqlite3
from collections import defaultdict
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from threadline_runtime.bus import sqlite_log as log
from threadline_runtime.bus.port import RawRecord

_NOW = datetime(2026, 11, 24, 9, 0, 0, 123000, tzinfo=UTC)
_TOPICS = ("a.v1", "b.v1")
_BYTES = st.one_of(st.none(), st.binary(max_size=40))
_HEADERS = st.lists(st.tuples(st.text(max_size=8), _BYTES), max_size=5).map(tuple)
_RECORDS = st.builds(RawRecord, st.sampled_from(_TOPICS), st.one_of(st.none(), st.sampled_from([b"x", b"y", b"\xff"])), _BYTES, _HEADERS)


@given(st.lists(st.lists(_RECORDS, max_size=6), max_size=8), st.integers(1, 3), st.integers(1, 5))
def test_what_goes_in_comes_out_in_order_without_gaps_whatever_the_pages(
    batches: list[list[RawRecord]], partitions: int, limit: int
) -> None:
    """P6, and order of a key: offsets are 0, 1, 2, ... in each partition; any page size reads the same."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    log.create_tables(connection)
    topics = {topic: log.ensure_topic(connection, topic, partitions) for topic in _TOPICS}
    expected: dict[tuple[str, int], list[RawRecord]] = defaultdict(list)
    for batch in batches:
        log.append(connection, batch, topics, _NOW)
        for record in batch:
            expected[record.topic, log.partition_of(record.key, partitions)].append(record)
    offsets = {source: 0 for sources in topics.values() for source in sources}
    found: dict[tuple[str, int], list[RawRecord]] = defaultdict(list)
    while page := log.fetch(connection, [log.Want(source, offset) for source, offset in offsets.items()], limit):
        assert len(page) <= limit
        for received in page:
            place = received.position
            mine = found[place.topic, place.partition]
            assert place.offset == len(mine)
            assert received.timestamp == _NOW
            mine.append(RawRecord(place.topic, received.key, received.value, received.raw_headers))
            offsets[topics[place.topic][place.partition]] = place.offset + 1
    assert found == expected


def test_a_topic_keeps_its_number_of_partitions() -> None:
    """Another number would reorder the keys that are under way."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    log.create_tables(connection)
    first = log.ensure_topic(connection, "a.v1", 4)
    assert log.ensure_topic(connection, "a.v1", 12) == first


def test_a_batch_is_bounded_in_bytes() -> None:
    """500 large intakes do not fill the memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    log.create_tables(connection)
    topics = {"a.v1": log.ensure_topic(connection, "a.v1", 1)}
    log.append(connection, [RawRecord("a.v1", b"k", b"x" * 1_000_000)] * 30, topics, _NOW)
    page = log.fetch(connection, [log.Want(topics["a.v1"][0], 0)], 500)
    assert sum(len(record.value or b"") for record in page) <= 9_000_000
    assert page


def test_a_late_commit_never_takes_a_group_back() -> None:
    """P2: what a newer commit has passed is not handed out again."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    log.create_tables(connection)
    (source,) = log.ensure_topic(connection, "a.v1", 1)
    log.commit_offsets(connection, "g", {source: 9})
    log.commit_offsets(connection, "g", {source: 4})
    log.register_group(connection, "g", [source])
    assert log.committed_offsets(connection, "g", [source]) == {source: 9}
