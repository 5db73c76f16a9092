"""On MongoDB: which messages bear or mention a name. A document a name, read by its `_id`; a few messages of each.

A name has eight slots and a message always the same one, in which the oldest stays: so writing again changes nothing, and the
document of a name that thousands mention does not grow. Names are written before what bears them: who finds an entry finds it by name.
A message whose id is made of its name alone, as on most channels, needs no document: its name leads to its `_id`.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence

from bson import ObjectId
from pymongo import UpdateOne
from threadline_events.keys import target_message_id
from threadline_runtime.mongo import MongoCollection

from router.domain.documents import Claim, EntryDocument

__all__ = ["Names", "borne", "mentioned", "telling"]

_SLOTS = 8


class Names:
    """One collection of names."""

    def __init__(self, collection: MongoCollection) -> None:
        self._names = collection

    async def add(self, given: Iterable[tuple[str, str]]) -> None:
        """Keep (name, message id) each."""
        now = ObjectId()  # begins with the time, and sorts by it
        await self._names.write([_change(name, message_id, now) for name, message_id in dict.fromkeys(given)])

    async def of(self, names: Iterable[str]) -> Mapping[str, Sequence[str]]:
        """Message ids by name, the oldest first. What they name need not be there (any more, or yet)."""
        found = {}
        for one in await self._names.by_ids(dict.fromkeys(names)):
            slots = sorted(one["slots"].values(), key=lambda slot: (slot["at"], slot["id"]))
            found[one["_id"]] = [str(slot["id"]) for slot in slots]
        return found


def telling(one: EntryDocument | Claim) -> list[str]:
    """Of the names that it bears those that its id is made of."""
    return [name for name in one.names if target_message_id(name) == one.message_id]


def borne(some: Iterable[EntryDocument | Claim]) -> list[tuple[str, str]]:
    """The names that they bear and that do not tell their id."""
    return [(name, one.message_id) for one in some for name in one.names if target_message_id(name) != one.message_id]


def mentioned(some: Iterable[EntryDocument | Claim]) -> list[tuple[str, str]]:
    """The names that they mention."""
    return [(name, one.message_id) for one in some for name in one.mentions]


def _change(name: str, message_id: str, now: ObjectId) -> UpdateOne:
    slot = zlib.crc32(message_id.encode()) % _SLOTS
    return UpdateOne({"_id": name}, {"$min": {f"slots.{slot}": {"at": now, "id": message_id}}}, upsert=True)
