"""The tables of the SQLite bus and the statements on them: plain functions over a connection.

A record's row id is its partition's number and its offset in one integer, so that a partition lies together and in order.
Not here: groups, waiting and waking (`sqlite`), threads and commits (`threadline_runtime.sqlite`).
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from threadline_events.topics import is_dead_letter_topic

from threadline_runtime.bus.port import PartitionProgress, Position, RawRecord, Received

__all__ = [
    "LogPartition",
    "Span",
    "Want",
    "all_topics",
    "append",
    "commit_offsets",
    "committed_offsets",
    "create_tables",
    "ensure_topic",
    "fetch",
    "group_progress",
    "partition_of",
    "register_group",
    "spans",
    "touch",
    "trim_partition",
]

_SHIFT = 40
_MASK = (1 << _SHIFT) - 1
_BATCH_BYTES = 2 * 1024 * 1024

_TABLES = (
    """CREATE TABLE IF NOT EXISTS bus_partitions (
        id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
        first_offset INTEGER NOT NULL DEFAULT 0, next_offset INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, partition))""",
    "CREATE TABLE IF NOT EXISTS bus_log (place INTEGER PRIMARY KEY, ts INTEGER NOT NULL, key BLOB, value BLOB, headers TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS bus_offsets (
        consumer TEXT NOT NULL, partition_id INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        PRIMARY KEY (consumer, partition_id)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS bus_probe (id INTEGER PRIMARY KEY, times INTEGER NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class LogPartition:
    """One partition of a topic and its number in the file."""

    id: int
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Want:
    """A partition and the offset to read from."""

    source: LogPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets that a partition holds: from `first` up to, not including, `next`."""

    source: LogPartition
    first: int
    next: int


def create_tables(connection: sqlite3.Connection) -> None:
    """Make what is not there yet."""
    for statement in _TABLES:
        connection.execute(statement)


def ensure_topic(connection: sqlite3.Connection, topic: str, partitions: int) -> tuple[LogPartition, ...]:
    """The partitions of a topic; a new topic gets `partitions`, a known one keeps its number, for a change would reorder keys."""
    rows = connection.execute("SELECT id, partition FROM bus_partitions WHERE topic = ? ORDER BY partition", (topic,)).fetchall()
    if not rows:
        connection.executemany("INSERT INTO bus_partitions (topic, partition) VALUES (?, ?)", [(topic, n) for n in range(partitions)])
        return ensure_topic(connection, topic, partitions)
    return tuple(LogPartition(number, topic, partition) for number, partition in rows)


def all_topics(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The names of all topics in the file."""
    return tuple(topic for (topic,) in connection.execute("SELECT DISTINCT topic FROM bus_partitions ORDER BY topic"))


def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition of a key, for ever the same."""
    return zlib.crc32(key or b"") % partitions


def append(
    connection: sqlite3.Connection, records: Sequence[RawRecord], topics: Mapping[str, tuple[LogPartition, ...]], now: datetime
) -> None:
    """Put records at the ends of their partitions, in the order given."""
    ts = int(now.timestamp() * 1000)
    by_partition: dict[int, list[RawRecord]] = {}
    for record in records:
        sources = topics[record.topic]
        by_partition.setdefault(sources[partition_of(record.key, len(sources))].id, []).append(record)
    rows: list[tuple[int, int, bytes | None, bytes | None, str]] = []
    for number, mine in by_partition.items():
        statement = "UPDATE bus_partitions SET next_offset = next_offset + ? WHERE id = ? RETURNING next_offset"
        (after,) = connection.execute(statement, (len(mine), number)).fetchone()
        place = (number << _SHIFT) + after - len(mine)
        rows.extend((place + i, ts, record.key, record.value, _spell(record.headers)) for i, record in enumerate(mine))
    connection.executemany("INSERT INTO bus_log (place, ts, key, value, headers) VALUES (?, ?, ?, ?, ?)", rows)


def _spell(headers: Iterable[tuple[str, bytes | None]]) -> str:
    return json.dumps([(name, None if value is None else value.decode("latin-1")) for name, value in headers])


def _read_headers(text: str) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(text))


def _received(source: LogPartition, row: tuple[int, int, bytes | None, bytes | None, str]) -> Received:
    place, ts, key, value, text = row
    raw = _read_headers(text)
    last = dict(raw)
    headers = {name: value for name, value in last.items() if value is not None}
    position = Position(source.topic, source.partition, place & _MASK)
    return Received(position, datetime.fromtimestamp(ts / 1000, UTC), key, value, raw, headers)


def spans(connection: sqlite3.Connection, sources: Iterable[LogPartition]) -> tuple[Span, ...]:
    """What each partition holds now."""
    by_id = {source.id: source for source in sources}
    marks = ",".join("?" * len(by_id))
    rows = connection.execute(f"SELECT id, first_offset, next_offset FROM bus_partitions WHERE id IN ({marks})", tuple(by_id))  # noqa: S608
    return tuple(Span(by_id[number], first, after) for number, first, after in rows)


def fetch(connection: sqlite3.Connection, wants: Sequence[Want], limit: int) -> list[Received]:
    """Records from the offsets wanted, at most `limit` and a few megabytes; each partition gets its share."""
    ends = {span.source.id: span.next for span in spans(connection, [want.source for want in wants])}
    ready = [want for want in wants if ends.get(want.source.id, 0) > want.offset]
    found: list[Received] = []
    size = 0
    for i, want in enumerate(ready):
        share = -(-(limit - len(found)) // (len(ready) - i))
        base = want.source.id << _SHIFT
        statement = "SELECT place, ts, key, value, headers FROM bus_log WHERE place >= ? AND place < ? ORDER BY place LIMIT ?"
        for row in connection.execute(statement, (base + want.offset, base + ends[want.source.id], share)):
            found.append(_received(want.source, row))
            size += len(row[3] or b"")
            if size > _BATCH_BYTES:
                return found
    return found


def register_group(connection: sqlite3.Connection, group: str, sources: Iterable[LogPartition]) -> None:
    """Note that the group reads these partitions, so that nothing is trimmed before it has passed; a new one starts at the beginning."""
    connection.executemany(
        "INSERT OR IGNORE INTO bus_offsets (consumer, partition_id, next_offset) VALUES (?, ?, 0)",
        [(group, source.id) for source in sources],
    )


def committed_offsets(connection: sqlite3.Connection, group: str, sources: Sequence[LogPartition]) -> dict[LogPartition, int]:
    """The next offset of the group in each partition."""
    rows = connection.execute("SELECT partition_id, next_offset FROM bus_offsets WHERE consumer = ?", (group,))
    by_id: dict[int, int] = dict(rows.fetchall())
    return {source: by_id.get(source.id, 0) for source in sources}


def commit_offsets(connection: sqlite3.Connection, group: str, offsets: Mapping[LogPartition, int]) -> None:
    """Note how far the group has come; never backwards, for a late commit may come after a newer one."""
    connection.executemany(
        """INSERT INTO bus_offsets (consumer, partition_id, next_offset) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)""",
        [(group, source.id, offset) for source, offset in offsets.items()],
    )


def group_progress(connection: sqlite3.Connection, group: str, sources: Sequence[LogPartition]) -> tuple[PartitionProgress, ...]:
    """How far the group has come in each partition."""
    done = committed_offsets(connection, group, sources)
    result = []
    for span in spans(connection, sources):
        source = span.source
        base = source.id << _SHIFT
        statement = "SELECT ts FROM bus_log WHERE place >= ? AND place < ? ORDER BY place LIMIT 1"
        row = connection.execute(statement, (base + done[source], base + span.next)).fetchone()
        oldest = datetime.fromtimestamp(row[0] / 1000, UTC) if row else None
        result.append(PartitionProgress(source.topic, source.partition, max(done[source], span.first), span.next, oldest))
    return tuple(result)


def trim_partition(connection: sqlite3.Connection, source: LogPartition, before: datetime, at_most: int) -> int:
    """Delete the oldest records written `before` that every group has passed, at most so many; dead letters are never trimmed."""
    if is_dead_letter_topic(source.topic):
        return 0
    (span,) = spans(connection, [source])
    statement = "SELECT min(next_offset) FROM bus_offsets WHERE partition_id = ?"
    passed = connection.execute(statement, (source.id,)).fetchone()[0]
    stop = min(span.next if passed is None else passed, span.first + at_most)
    base = source.id << _SHIFT
    statement = "SELECT min(place) FROM (SELECT place FROM bus_log WHERE place >= ? AND place < ? AND ts >= ? ORDER BY place LIMIT 1)"
    young = connection.execute(statement, (base + span.first, base + stop, int(before.timestamp() * 1000))).fetchone()[0]
    stop = stop if young is None else young & _MASK
    if stop <= span.first:
        return 0
    connection.execute("DELETE FROM bus_log WHERE place >= ? AND place < ?", (base + span.first, base + stop))
    connection.execute("UPDATE bus_partitions SET first_offset = ? WHERE id = ?", (stop, source.id))
    return stop - span.first


def touch(connection: sqlite3.Connection) -> None:
    """Write a row, which a full or read-only disk refuses."""
    connection.execute("INSERT INTO bus_probe (id, times) VALUES (1, 1) ON CONFLICT DO UPDATE SET times = times + 1")
