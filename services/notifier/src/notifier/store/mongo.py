"""DeliveryStore on MongoDB: a document a delivery, a document a lane; its collections begin with `notifier_`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from pymongo import UpdateOne
from threadline_events.states import DeliveryRank
from threadline_runtime.mongo import Document, Indexes, MongoDatabase, compound_id, index

from notifier.domain.delivery import Delivery, DeliveryId
from notifier.domain.lane import Lane
from notifier.store.documents import read_delivery, state_json
from notifier.store.port import Totals
from notifier.store.totals import totals_of

__all__ = ["MongoDeliveryStore"]

_DELIVERIES, _LANES = "notifier_deliveries", "notifier_lanes"
_INDEXES: Final[Indexes] = {
    _DELIVERIES: (index("lane", "is_open", "position"), index("account_id", "is_open", "rank"), index("queued_at")),
    _LANES: (index("account_id", "is_due", "not_before"),),
}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class MongoDeliveryStore:
    """Deliveries and lanes in one database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._deliveries = database.collection(_DELIVERIES)
        self._lanes = database.collection(_LANES)

    async def migrate(self) -> None:
        """Create the indexes that are missing; called at every start."""
        await self._database.make_indexes(_INDEXES)

    async def insert(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """See DeliveryStore."""
        await self._deliveries.insert([_document(one) for one in deliveries])
        ids = dict.fromkeys(one.id for one in deliveries)
        stored = {one.id: one for one in map(_delivery, await self._deliveries.by_ids(map(_id, ids)))}
        return [stored[one] for one in ids if one in stored]

    async def find(self, delivery_id: DeliveryId) -> Delivery | None:
        """See DeliveryStore."""
        found = await self._deliveries.first({"_id": _id(delivery_id)})
        return _delivery(found) if found else None

    async def open_in_lane(self, lane: str, limit: int) -> Sequence[Delivery]:
        """See DeliveryStore."""
        order = [("position", 1), ("_id", 1)]
        return [_delivery(found) for found in await self._deliveries.find({"lane": lane, "is_open": True}, order=order, limit=limit)]

    async def replace(self, delivery: Delivery) -> bool:
        """See DeliveryStore."""
        before = {"_id": _id(delivery.id), "version": delivery.version - 1}
        return await self._deliveries.change(before, {"$set": _state(delivery)})

    async def raise_due(self, lanes: Mapping[str, str], now: datetime) -> None:
        """See DeliveryStore."""
        await self._lanes.write([_raised(lane, account_id, now) for lane, account_id in lanes.items()])

    async def clear_due(self, lane: Lane) -> bool:
        """See DeliveryStore."""
        # The number stays: were it to begin anew, a worker that looked long ago could take a new mark for the one it read.
        return await self._lanes.change(_as_read(lane), {"$set": {"is_due": False}, "$unset": {"not_before": ""}})

    async def postpone(self, lane: Lane, until: datetime) -> bool:
        """See DeliveryStore."""
        return await self._lanes.change(_as_read(lane), {"$set": {"not_before": until}})

    async def lane(self, key: str) -> Lane | None:
        """See DeliveryStore."""
        found = await self._lanes.first({"_id": key})
        return _lane(found) if found and found["is_due"] else None

    async def due_lanes(self, account_id: str, now: datetime, limit: int) -> Sequence[Lane]:
        """See DeliveryStore."""
        due = {"account_id": account_id, "is_due": True, "not_before": {"$lte": now}}
        return [_lane(found) for found in await self._lanes.find(due, order=[("not_before", 1)], limit=limit)]

    async def next_due_at(self, account_id: str, after: datetime) -> datetime | None:
        """See DeliveryStore."""
        later = {"account_id": account_id, "is_due": True, "not_before": {"$gt": after}}
        found = await self._lanes.first(later, order=[("not_before", 1)])
        return found["not_before"] if found else None

    async def unreported_lanes(self, account_id: str, limit: int) -> Sequence[str]:
        """See DeliveryStore."""
        final = {"account_id": account_id, "is_open": True, "rank": {"$gte": int(DeliveryRank.UNCERTAIN)}}
        lanes = await self._deliveries.grouped([{"$match": final}, {"$group": {"_id": "$lane"}}, {"$limit": limit}])
        return [found["_id"] for found in lanes]

    async def totals(self, since: datetime | None = None) -> Mapping[str, Totals]:
        """See DeliveryStore."""
        kept = {"$match": {"queued_at": {"$gte": since or _BEGINNING}}}
        by_rank = {"_id": {"account_id": "$account_id", "rank": "$rank"}, "count": {"$sum": 1}, "repeats": {"$sum": "$repeats"}}
        found = await self._deliveries.grouped([kept, {"$group": by_rank}])
        return totals_of((one["_id"]["account_id"], one["_id"]["rank"], one["count"], one["repeats"]) for one in found)


def _id(delivery_id: DeliveryId) -> str:
    return compound_id(delivery_id.message_id, delivery_id.attempt)


def _state(delivery: Delivery) -> Document:
    """What changes; beside `state` only what is asked for."""
    return {
        "rank": int(delivery.rank),
        "repeats": delivery.repeats,
        "is_open": delivery.is_open,
        "version": delivery.version,
        "state": state_json(delivery),
    }


def _document(delivery: Delivery) -> Document:
    return {
        "_id": _id(delivery.id),
        "lane": delivery.lane,
        "position": delivery.position,
        "account_id": delivery.account_id,
        "queued_at": delivery.message.queued_at,
        "message": delivery.message.to_json(),
        **_state(delivery),
    }


def _delivery(found: Document) -> Delivery:
    return read_delivery(found["state"], found["message"])


def _raised(lane: str, account_id: str, now: datetime) -> UpdateOne:
    change = {"$inc": {"due": 1}, "$set": {"account_id": account_id, "is_due": True}, "$min": {"not_before": now}}
    return UpdateOne({"_id": lane}, change, upsert=True)


def _as_read(lane: Lane) -> Document:
    return {"_id": lane.key, "due": lane.due}


def _lane(found: Document) -> Lane:
    return Lane(found["_id"], found["account_id"], found["due"])
