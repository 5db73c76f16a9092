"""On MongoDB: the copies of strands, and the summaries derived from them.

Beside its copy a strand's document keeps the ids of those that ever joined it, so that a conversation is found by `_id` alone and reading
it costs the same however many conversations there are. It may name too many, and stand there before the strand's own copy does.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime

from pymongo import DESCENDING, UpdateOne
from threadline_events.timeline import Conversation
from threadline_runtime.mongo import Document, MongoDatabase, Swap

from router.domain.documents import Strand
from router.store.port import ConversationQuery, SummaryHead

__all__ = ["MongoStrands"]


class MongoStrands:
    """Strands and summaries. Part of the store."""

    def __init__(self, database: MongoDatabase) -> None:
        self._strands = database.collection("router_strands")
        self._summaries = database.collection("router_summaries")

    async def strands(self, strand_ids: Iterable[str]) -> Mapping[str, Strand]:
        """The copies that there are."""
        return {one["_id"]: _strand(one) for one in await self._strands.by_ids(strand_ids) if "copy" in one}

    async def strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """The copies of all strands of these contacts."""
        return [_strand(one) for one in await self._strands.find({"copy.owner": {"$in": list(owners)}})]

    async def open_strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """Of these the open ones."""
        return [_strand(one) for one in await self._strands.find({"copy.owner": {"$in": list(owners)}, "copy.status": "open"})]

    async def strands_joined_to(self, strand_ids: Iterable[str]) -> Sequence[Strand]:
        """These and those that join one of them."""
        ids = frozenset(strand_ids)
        found = await self._strands.by_ids(ids)
        named = {i for one in found for i in one.get("joined_by", ())} - ids
        if named:
            found += [one for one in await self._strands.by_ids(named) if one.get("copy", {}).get("joins") in ids]
        return [_strand(one) for one in found if "copy" in one]

    async def write_strands(self, strands: Sequence[Strand]) -> None:
        """Write copies; the highest version stands."""
        # Documents compare field by field, and the first is the version.
        copies = [UpdateOne({"_id": one.strand_id}, {"$max": {"copy": _copy(one)}}, upsert=True) for one in strands]
        await self._strands.write([*copies, *map(_told_to_whom_it_joins, (one for one in strands if one.joins is not None))])

    async def summaries(self, strand_ids: Iterable[str]) -> Mapping[str, Conversation]:
        """The summaries that there are."""
        return {one["_id"]: _summary(one) for one in await self._summaries.by_ids(strand_ids, fields=["doc"])}

    async def summary_heads(self, strand_ids: Iterable[str]) -> Mapping[str, SummaryHead]:
        """The heads of these."""
        found = await self._summaries.by_ids(strand_ids, fields=["version", "contact_id"])
        return {one["_id"]: SummaryHead(one["version"], one.get("contact_id")) for one in found}

    async def write_summaries(self, summaries: Sequence[Conversation]) -> frozenset[str]:
        """Write each where the stored version is one below."""
        return await self._summaries.swap([Swap(one.conversation_id, one.version - 1, one.version, _fields(one)) for one in summaries])

    async def conversations(self, query: ConversationQuery) -> Sequence[Conversation]:
        """A page of the list."""
        order = [("active_at", DESCENDING), ("_id", DESCENDING)]
        found = await self._summaries.find(_where(query), fields=["doc"], order=order, limit=query.limit)
        return [_summary(one) for one in found]

    async def snoozed_until(self, until: datetime, limit: int) -> Sequence[str]:
        """Ids of summaries that say snoozed and whose time has come."""
        found = await self._summaries.find({"snoozed_until": {"$lte": until}}, fields=["_id"], limit=limit)
        return [one["_id"] for one in found]

    async def all_strand_ids(self) -> AsyncIterator[Sequence[str]]:
        """Every strand's id, in pages."""
        async for page in self._strands.pages({"copy.version": {"$gte": 0}}, order=[("_id", 1)], fields=["_id"]):
            yield [one["_id"] for one in page]


def _strand(found: Document) -> Strand:
    return Strand.model_validate_json(found["copy"]["doc"])


def _copy(strand: Strand) -> Document:
    return {
        "version": strand.version,
        "owner": strand.owner,
        "status": strand.status,
        "joins": strand.joins,
        "doc": strand.to_json().decode(),
    }


def _told_to_whom_it_joins(strand: Strand) -> UpdateOne:
    return UpdateOne({"_id": strand.joins}, {"$addToSet": {"joined_by": strand.strand_id}}, upsert=True)


def _summary(found: Document) -> Conversation:
    return Conversation.model_validate_json(found["doc"])


def _fields(one: Conversation) -> Document:
    return {
        "brand": one.brand,
        "contact_id": one.contact_id,
        "status": one.status,
        "joined": one.joined,
        "snoozed_until": one.snoozed_until if one.status == "snoozed" else None,
        "active_at": one.last_activity_at,
        "channels": list(one.channels),
        "doc": one.to_json().decode(),
    }


def _where(query: ConversationQuery) -> Document:
    where: Document = {"joined": None}
    for name, wanted in (("brand", query.brands), ("_id", query.ids)):
        if wanted is not None:
            where[name] = {"$in": list(wanted)}
    for name, value in (("status", query.status), ("channels", query.channel)):
        if value is not None:
            where[name] = value
    if query.after is not None:
        at, last = query.after
        where["active_at"] = {"$lte": at}
        where["$or"] = [{"active_at": {"$lt": at}}, {"_id": {"$lt": last}}]
    return where
