"""DeliveryStore on the SQLite file that the services share; its tables begin with `notifier_`."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from threadline_events.states import DeliveryRank
from threadline_runtime.sqlite import SqliteDatabase

from notifier.domain.delivery import Delivery, DeliveryId
from notifier.domain.lane import Lane
from notifier.store.documents import read_delivery, state_json
from notifier.store.port import Totals
from notifier.store.totals import totals_of

__all__ = ["SqliteDeliveryStore"]

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS notifier_deliveries (
        message_id TEXT NOT NULL, attempt INTEGER NOT NULL, lane TEXT NOT NULL, position TEXT NOT NULL, account_id TEXT NOT NULL,
        queued_at INTEGER NOT NULL, rank INTEGER NOT NULL, repeats INTEGER NOT NULL, is_open INTEGER NOT NULL, version INTEGER NOT NULL,
        state TEXT NOT NULL, message BLOB NOT NULL, PRIMARY KEY (message_id, attempt))""",
    "CREATE INDEX IF NOT EXISTS notifier_deliveries_lane ON notifier_deliveries (lane, is_open, position)",
    "CREATE INDEX IF NOT EXISTS notifier_deliveries_open ON notifier_deliveries (account_id, is_open, rank)",
    "CREATE INDEX IF NOT EXISTS notifier_deliveries_account ON notifier_deliveries (account_id, queued_at, rank, repeats)",
    """CREATE TABLE IF NOT EXISTS notifier_lanes (
        lane TEXT PRIMARY KEY, account_id TEXT NOT NULL, due INTEGER NOT NULL, is_due INTEGER NOT NULL, not_before INTEGER NOT NULL)
        WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS notifier_lanes_account ON notifier_lanes (account_id, is_due, not_before)",
)
_INSERT: Final = """INSERT OR IGNORE INTO notifier_deliveries
    (message_id, attempt, lane, position, account_id, queued_at, rank, repeats, is_open, version, state, message)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FIND: Final = "SELECT state, message FROM notifier_deliveries WHERE message_id = ? AND attempt = ?"
_OPEN_IN_LANE: Final = """SELECT state, message FROM notifier_deliveries WHERE lane = ? AND is_open = 1
    ORDER BY position, message_id, attempt LIMIT ?"""
_REPLACE: Final = """UPDATE notifier_deliveries SET rank = ?, repeats = ?, is_open = ?, version = ?, state = ?
    WHERE message_id = ? AND attempt = ? AND version = ?"""
_RAISE: Final = """INSERT INTO notifier_lanes (lane, account_id, due, is_due, not_before) VALUES (?, ?, 1, 1, ?)
    ON CONFLICT (lane) DO UPDATE SET due = due + 1, is_due = 1, not_before = min(not_before, excluded.not_before)"""
_CLEAR: Final = "UPDATE notifier_lanes SET is_due = 0, not_before = ? WHERE lane = ? AND due = ?"
_NEVER: Final = 2**62
_UNREPORTED: Final = """SELECT DISTINCT lane FROM notifier_deliveries
    WHERE account_id = ? AND is_open = 1 AND rank >= ? LIMIT ?"""
_TOTALS: Final = """SELECT account_id, rank, count(*), sum(repeats) FROM notifier_deliveries WHERE queued_at >= ?
    GROUP BY account_id, rank"""


class SqliteDeliveryStore:
    """Deliveries and lanes in one file."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def migrate(self) -> None:
        """Create what is missing; called at every start."""

        def create(connection: sqlite3.Connection) -> None:
            for statement in _TABLES:
                connection.execute(statement)

        await self._database.write(create)

    async def insert(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """See DeliveryStore."""
        rows = [_row(one) for one in deliveries]
        ids = [one.id for one in deliveries]

        def run(connection: sqlite3.Connection) -> list[Delivery]:
            connection.executemany(_INSERT, rows)
            stored = (_find(connection, one) for one in ids)
            return [one for one in stored if one is not None]

        return await self._database.write(run)

    async def find(self, delivery_id: DeliveryId) -> Delivery | None:
        """See DeliveryStore."""
        return await self._database.read(lambda connection: _find(connection, delivery_id))

    async def open_in_lane(self, lane: str, limit: int) -> Sequence[Delivery]:
        """See DeliveryStore."""
        rows = await self._database.read(lambda connection: connection.execute(_OPEN_IN_LANE, (lane, limit)).fetchall())
        return [read_delivery(state, message) for state, message in rows]

    async def replace(self, delivery: Delivery) -> bool:
        """See DeliveryStore."""
        values = (
            int(delivery.rank),
            delivery.repeats,
            int(delivery.is_open),
            delivery.version,
            state_json(delivery),
            delivery.id.message_id,
            delivery.id.attempt,
            delivery.version - 1,
        )
        return await self._changes(_REPLACE, values)

    async def raise_due(self, lanes: Mapping[str, str], now: datetime) -> None:
        """See DeliveryStore."""
        rows = [(lane, account_id, _millis(now)) for lane, account_id in lanes.items()]
        await self._database.write(lambda connection: connection.executemany(_RAISE, rows))

    async def clear_due(self, lane: Lane) -> bool:
        """See DeliveryStore."""
        # The number stays: were it to begin anew, a worker that looked long ago could take a new mark for the one it read.
        return await self._changes(_CLEAR, (_NEVER, lane.key, lane.due))

    async def postpone(self, lane: Lane, until: datetime) -> bool:
        """See DeliveryStore."""
        return await self._changes(
            "UPDATE notifier_lanes SET not_before = ? WHERE lane = ? AND due = ?", (_millis(until), lane.key, lane.due)
        )

    async def lane(self, key: str) -> Lane | None:
        """See DeliveryStore."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT lane, account_id, due FROM notifier_lanes WHERE lane = ? AND is_due = 1", (key,)
            ).fetchone()
        )
        return Lane(*row) if row else None

    async def due_lanes(self, account_id: str, now: datetime, limit: int) -> Sequence[Lane]:
        """See DeliveryStore."""
        query = """SELECT lane, account_id, due FROM notifier_lanes WHERE account_id = ? AND is_due = 1 AND not_before <= ?
            ORDER BY not_before LIMIT ?"""
        values = (account_id, _millis(now), limit)
        return [Lane(*row) for row in await self._database.read(lambda connection: connection.execute(query, values).fetchall())]

    async def next_due_at(self, account_id: str, after: datetime) -> datetime | None:
        """See DeliveryStore."""
        query = "SELECT min(not_before) FROM notifier_lanes WHERE account_id = ? AND is_due = 1 AND not_before > ?"
        values = (account_id, _millis(after))
        (first,) = await self._database.read(lambda connection: connection.execute(query, values).fetchone())
        return datetime.fromtimestamp(first / 1000, UTC) if first is not None else None

    async def unreported_lanes(self, account_id: str, limit: int) -> Sequence[str]:
        """See DeliveryStore."""
        values = (account_id, int(DeliveryRank.UNCERTAIN), limit)
        return [lane for (lane,) in await self._database.read(lambda connection: connection.execute(_UNREPORTED, values).fetchall())]

    async def totals(self, since: datetime | None = None) -> Mapping[str, Totals]:
        """See DeliveryStore."""
        start = _millis(since) if since is not None else 0
        rows = await self._database.read(lambda connection: connection.execute(_TOTALS, (start,)).fetchall())
        return totals_of(rows)

    async def _changes(self, statement: str, values: tuple[object, ...]) -> bool:
        return await self._database.write(lambda connection: connection.execute(statement, values).rowcount) == 1


def _find(connection: sqlite3.Connection, delivery_id: DeliveryId) -> Delivery | None:
    row = connection.execute(_FIND, (delivery_id.message_id, delivery_id.attempt)).fetchone()
    return read_delivery(*row) if row else None


def _row(delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.id.message_id,
        delivery.id.attempt,
        delivery.lane,
        delivery.position,
        delivery.account_id,
        _millis(delivery.message.queued_at),
        int(delivery.rank),
        delivery.repeats,
        int(delivery.is_open),
        delivery.version,
        state_json(delivery),
        delivery.message.to_json(),
    )


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
