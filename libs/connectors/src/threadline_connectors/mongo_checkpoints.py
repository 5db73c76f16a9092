"""Checkpoints in MongoDB: a document a source, under the token of its holder. Not here: the port (`checkpoints`)."""

from threadline_runtime.mongo import MongoDatabase, compound_id

from threadline_connectors.checkpoints import Deposed
from threadline_connectors.pollers import Source

__all__ = ["MongoCheckpointStore"]


class MongoCheckpointStore:
    """The `CheckpointStore` port."""

    def __init__(self, database: MongoDatabase) -> None:
        self._checkpoints = database.collection("ingest_checkpoints")

    async def migrate(self) -> None:
        """Nothing is to be made: checkpoints are only read by `_id`."""

    async def claim(self, source: Source, token: int) -> str | None:
        """See `CheckpointStore.claim`."""
        claimed = await self._checkpoints.put({"_id": _id(source), "token": {"$lte": token}}, {"$set": {"token": token}})
        if claimed is None:
            raise _deposed(source)
        return claimed.get("position")

    async def store(self, source: Source, token: int, position: str) -> None:
        """See `CheckpointStore.store`."""
        if not await self._checkpoints.change({"_id": _id(source), "token": token}, {"$set": {"position": position}}):
            raise _deposed(source)

    async def position(self, source: Source) -> str | None:
        """See `CheckpointStore.position`."""
        found = await self._checkpoints.first({"_id": _id(source)})
        return found.get("position") if found else None


def _id(source: Source) -> str:
    return compound_id(source.account_id, source.stream)


def _deposed(source: Source) -> Deposed:
    return Deposed(f"{source.account_id} ({source.stream}) is held by another process")
