"""On MongoDB: the documents that decide (contacts, edges), each with its outbox inside."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo import UpdateOne
from threadline_runtime.mongo import Document, MongoDatabase, Swap

from router.domain.documents import Contact, Edge, OutboxItem
from router.store.port import Collection, ContactChange, EdgeChange, Owed, Stored, StoredEdge

__all__ = ["MongoDeciders"]

_COLLECTIONS: tuple[Collection, ...] = ("contacts", "edges")


class MongoDeciders:
    """Contacts and edges. Part of the store."""

    def __init__(self, database: MongoDatabase) -> None:
        self._deciders = {name: database.collection(f"router_{name}") for name in _COLLECTIONS}

    async def contacts(self, contact_ids: Iterable[str]) -> Mapping[str, Stored]:
        """Those that there are, with their outboxes."""
        found = await self._deciders["contacts"].by_ids(contact_ids)
        return {one["_id"]: Stored(Contact.model_validate_json(one["doc"]), _outbox(one)) for one in found}

    async def commit_contacts(self, changes: Sequence[ContactChange]) -> frozenset[str]:
        """Compare-and-set each on its version."""
        return await self._deciders["contacts"].swap([_contact_swap(change) for change in changes])

    async def edges(self, link_ids: Iterable[str]) -> Mapping[str, StoredEdge]:
        """Those that there are, with their outboxes."""
        found = await self._deciders["edges"].by_ids(link_ids)
        return {one["_id"]: StoredEdge(Edge.model_validate_json(one["doc"]), _outbox(one)) for one in found}

    async def edges_of(self, contact_ids: Iterable[str]) -> Sequence[Edge]:
        """Every edge with an end among the contacts."""
        found = await self._deciders["edges"].find({"ends": {"$in": list(contact_ids)}}, fields=["doc"])
        return [Edge.model_validate_json(one["doc"]) for one in found]

    async def commit_edge(self, change: EdgeChange) -> bool:
        """Compare-and-set on the version."""
        return bool(await self._deciders["edges"].swap([_edge_swap(change)]))

    async def pull(self, collection: Collection, items: Sequence[tuple[str, int]]) -> None:
        """Take items out of outboxes."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for owner, number in items:
            numbers[owner].append(number)
        changes = [UpdateOne({"_id": owner}, {"$pull": {"outbox": {"number": {"$in": some}}}}) for owner, some in numbers.items()]
        await self._deciders[collection].write(changes)

    async def owing(self, before: datetime, limit: int) -> Sequence[Owed]:
        """Documents that still owe an item put in before a time."""
        owed: list[Owed] = []
        for name in _COLLECTIONS:
            if len(owed) < limit:
                found = await self._deciders[name].find({"outbox.at": {"$lt": before}}, fields=["_id"], limit=limit - len(owed))
                owed += [Owed(name, one["_id"]) for one in found]
        return owed


def _outbox(found: Document) -> tuple[OutboxItem, ...]:
    items = sorted(found.get("outbox", ()), key=lambda item: int(item["number"]))
    return tuple(OutboxItem.model_validate_json(item["doc"]) for item in items)


def _contact_swap(change: ContactChange) -> Swap:
    contact = change.contact
    return Swap(contact.contact_id, change.expected, contact.version, {"doc": contact.to_json().decode()}, {"outbox": _item(change.item)})


def _edge_swap(change: EdgeChange) -> Swap:
    edge = change.edge
    fields = {"ends": [edge.one_contact, edge.other_contact], "doc": edge.to_json().decode()}
    return Swap(edge.link_id, change.expected, edge.version, fields, {"outbox": _item(change.item)})


def _item(item: OutboxItem) -> Document:
    return {"number": item.number, "at": item.at, "doc": item.to_json().decode()}
