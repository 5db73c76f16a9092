"""Leases on MongoDB: a document a process, a document a lease; taking is one compare-and-set."""

from collections.abc import Mapping

from threadline_runtime.leases.port import Lease, Sighting
from threadline_runtime.mongo import MongoDatabase

__all__ = ["MongoLeaseStore"]


class MongoLeaseStore:
    """The `LeaseStore` port."""

    def __init__(self, database: MongoDatabase) -> None:
        self._beats = database.collection("runtime_beats")
        self._leases = database.collection("runtime_leases")

    async def migrate(self) -> None:
        """Nothing is to be made: both collections are only read by `_id`."""

    async def beat(self, holder: str, beat: int) -> None:
        """See the port."""
        await self._beats.put({"_id": holder}, {"$set": {"beat": beat}})

    async def silence(self, holder: str) -> None:
        """See the port."""
        await self._beats.delete({"_id": holder})

    async def beats(self) -> Mapping[str, int]:
        """See the port."""
        return {found["_id"]: found["beat"] for found in await self._beats.find({})}

    async def look(self, name: str) -> Sighting:
        """See the port."""
        lease = await self._leases.first({"_id": name})
        if lease is None:
            return Sighting(None, None)
        beat = await self._beats.first({"_id": lease["holder"]})
        return Sighting(Lease(name, lease["holder"], lease["token"]), beat["beat"] if beat else None)

    async def take(self, name: str, seen: Lease | None, holder: str) -> Lease | None:
        """See the port."""
        if seen is None:
            refused = await self._leases.insert([{"_id": name, "holder": holder, "token": 1}])
            return None if refused else Lease(name, holder, 1)
        as_seen = {"_id": name, "token": seen.token, "holder": seen.holder}
        taken = await self._leases.change(as_seen, {"$set": {"holder": holder, "token": seen.token + 1}})
        return Lease(name, holder, seen.token + 1) if taken else None

    async def release(self, lease: Lease) -> None:
        """See the port."""
        await self._leases.change({"_id": lease.name, "token": lease.token, "holder": lease.holder}, {"$set": {"holder": None}})
