"""On MongoDB: entries and claims, and how timelines are read. A message is claimed in one collection and filed in another.

So filing is an insert, and the first stands. Not here: how names are kept (`mongo_names`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING
from threadline_events.keys import target_message_id
from threadline_events.states import DeliveryRank
from threadline_runtime.mongo import Document, MongoDatabase, Swap

from router.domain.documents import Claim, EntryDocument
from router.store.entry_facts import answerable_until, attachment_hashes, holds, standing
from router.store.mongo_names import Names, borne, mentioned, telling
from router.store.port import EntryPage, EntryRef, SentCounts

__all__ = ["MongoEntries"]

_REF = ("brand", "party", "party_identity", "direction", "strand_id", "received_at")
_SEARCHED = 4000


class MongoEntries:
    """Entries and claims. Part of the store."""

    def __init__(self, database: MongoDatabase) -> None:
        self._claims = database.collection("router_claims")
        self._entries = database.collection("router_entries")
        self._names = Names(database.collection("router_names"))
        self._mentions = Names(database.collection("router_mentions"))

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, EntryRef]:
        """Insert each where nothing has its id."""
        await self._name(claims)
        refused = await self._claims.insert([_claim(one) for one in claims])
        ours = {one.message_id: _ref_of_claim(one) for place, one in enumerate(claims) if place not in refused}
        theirs, entries = await asyncio.gather(
            self._claims.by_ids(claims[place].message_id for place in refused),
            self._entries.by_ids([one.message_id for one in claims], fields=_REF),
        )
        return ours | {one["_id"]: _ref_of_claim(_read_claim(one)) for one in theirs} | {one["_id"]: _ref(one) for one in entries}

    async def refs(self, message_ids: Iterable[str]) -> Mapping[str, EntryRef]:
        """Entries and claims by id, without their content."""
        ids = list(dict.fromkeys(message_ids))
        claims, entries = await asyncio.gather(self._claims.by_ids(ids), self._entries.by_ids(ids, fields=_REF))
        return {one["_id"]: _ref_of_claim(_read_claim(one)) for one in claims} | {one["_id"]: _ref(one) for one in entries}

    async def filed(self, message_ids: Iterable[str]) -> frozenset[str]:
        """Of these ids those of filed entries."""
        return frozenset(one["_id"] for one in await self._entries.by_ids(dict.fromkeys(message_ids), fields=["_id"]))

    async def named(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """Entries and claims by a name they bear; the one that a name tells by itself comes last, as it may only repeat what we sent."""
        wanted = list(names)
        told = {i: name for name in wanted if (i := target_message_id(name)) is not None}
        found, plain = await asyncio.gather(self._refs_by_name(self._names, wanted), self._entries.by_ids(told, fields=(*_REF, "told_by")))
        theirs = {told[one["_id"]]: _ref(one) for one in plain if told[one["_id"]] in one.get("told_by", ())}
        return {name: [*found.get(name, ()), *([theirs[name]] if name in theirs else [])] for name in found.keys() | theirs.keys()}

    async def mentioning(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """Entries and claims that mention a name."""
        return await self._refs_by_name(self._mentions, names)

    async def entries(self, message_ids: Iterable[str]) -> Mapping[str, EntryDocument]:
        """Filed entries by id."""
        return {one["_id"]: _entry(one) for one in await self._entries.by_ids(dict.fromkeys(message_ids), fields=["doc"])}

    async def file(self, entries: Sequence[EntryDocument]) -> Mapping[str, EntryDocument]:
        """File each that is not filed yet."""
        await self._name(entries)
        refused = await self._entries.insert([_document(one) for one in entries])
        filed = {one.message_id: one for place, one in enumerate(entries) if place not in refused}
        before = await self.entries(entries[place].message_id for place in refused) if refused else {}
        return {**filed, **before}

    async def update_entries(self, entries: Sequence[EntryDocument]) -> frozenset[str]:
        """Replace each where the stored version is one below its own."""
        await self._name(entries)
        return await self._entries.swap([Swap(one.message_id, one.version - 1, one.version, _changing(one)) for one in entries])

    async def entry_page(self, page: EntryPage) -> Sequence[EntryDocument]:
        """A page of shown entries."""
        field, owners = ("strand_id", page.strands) if page.strands is not None else ("party", page.parties or frozenset())
        where: Document = {field: {"$in": list(owners)}, "shown": True}
        if page.after is not None:
            at, order, last = page.after
            beyond, from_there = ("$lt", "$lte") if page.descending else ("$gt", "$gte")
            where["occurred_at"] = {from_there: at}
            later_in_it = {"occurred_at": at, "order": order, "_id": {beyond: last}}
            where["$or"] = [{"occurred_at": {beyond: at}}, {"occurred_at": at, "order": {beyond: order}}, later_in_it]
        direction = DESCENDING if page.descending else ASCENDING
        order_by = [("occurred_at", direction), ("order", direction), ("_id", direction)]
        return [_entry(one) for one in await self._entries.find(where, fields=["doc"], order=order_by, limit=page.limit)]

    async def latest_answerable(self, strand_ids: Iterable[str], at: datetime, limit: int) -> Sequence[EntryDocument]:
        """The newest of the strands that their own contacts wrote and that can be answered."""
        where = {"strand_id": {"$in": list(strand_ids)}, "answerable_until": {"$gt": at}}
        order = [("received_at", DESCENDING), ("order", DESCENDING), ("_id", DESCENDING)]
        return [_entry(one) for one in await self._entries.find(where, fields=["doc"], order=order, limit=limit)]

    async def search(self, words: str, brands: frozenset[str] | None, limit: int) -> Sequence[str]:
        """Ids of strands with an entry that holds the words; looks at the newest few thousand candidates."""
        where: Document = {"shown": True} if brands is None else {"shown": True, "brand": {"$in": list(brands)}}
        found: dict[str, None] = {}
        looked, wanted = 0, words.casefold()
        order = [("received_at", DESCENDING), ("_id", DESCENDING)]
        async for page in self._entries.pages(where, order=order, fields=["doc"]):
            matching = (entry for entry in map(_entry, page) if entry.strand_id and holds(entry, wanted))
            found |= dict.fromkeys(entry.strand_id for entry in matching if entry.strand_id)
            looked += len(page)
            if len(found) >= limit or looked >= _SEARCHED:
                break
        return list(found)[:limit]

    async def attachment_readers(self, sha256: str) -> frozenset[str]:
        """Brands with an entry that names the attachment."""
        return frozenset(one["brand"] for one in await self._entries.find({"attachments": sha256, "shown": True}, fields=["brand"]))

    async def sent_counts(self, since: datetime, account_id: str | None) -> Mapping[str, SentCounts]:
        """What each account sent since a time, by where it stands now."""
        sent: Document = {"direction": "outbound", "rank": {"$ne": None}, "received_at": {"$gte": since}}
        if account_id is not None:
            sent["account_id"] = account_id
        by_rank = {"_id": {"account_id": "$account_id", "rank": "$rank"}, "count": {"$sum": 1}}
        counted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for one in await self._entries.grouped([{"$match": sent}, {"$group": by_rank}]):
            account = counted[one["_id"]["account_id"]]
            account["accepted"] += one["count"]
            account[standing(DeliveryRank(one["_id"]["rank"]))] += one["count"]
        return {account: SentCounts(**counts) for account, counts in counted.items()}

    async def _name(self, some: Sequence[EntryDocument] | Sequence[Claim]) -> None:
        await asyncio.gather(self._names.add(borne(some)), self._mentions.add(mentioned(some)))

    async def _refs_by_name(self, kept: Names, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        ids = await kept.of(names)
        refs = await self.refs(i for some in ids.values() for i in some)
        found = {name: [refs[i] for i in some if i in refs] for name, some in ids.items()}
        return {name: some for name, some in found.items() if some}


def _claim(claim: Claim) -> Document:
    return {"_id": claim.message_id, "doc": claim.to_json().decode()}


def _read_claim(found: Document) -> Claim:
    return Claim.model_validate_json(found["doc"])


def _ref_of_claim(claim: Claim) -> EntryRef:
    return EntryRef(claim.message_id, claim.brand, claim.party, claim.party_identity, False, "inbound", None, None, claim.why)


def _ref(found: Document) -> EntryRef:
    brand, party, identity, direction, strand, received = (found[name] for name in _REF)
    return EntryRef(found["_id"], brand, party, identity, True, direction, strand, received)


def _entry(found: Document) -> EntryDocument:
    return EntryDocument.model_validate_json(found["doc"])


def _document(entry: EntryDocument) -> Document:
    return {
        "_id": entry.message_id,
        "version": entry.version,
        "brand": entry.brand,
        "party": entry.party,
        "party_identity": entry.party_identity,
        "strand_id": entry.strand_id,
        "direction": entry.direction,
        "account_id": entry.account_id,
        "received_at": entry.received_at,
        "occurred_at": entry.occurred_at,
        "order": entry.order,
        "made_by": entry.made.intake_id if entry.made else None,
        "made_index": entry.made.index if entry.made else None,
        "answerable_until": answerable_until(entry),
        "told_by": telling(entry),
        **_changing(entry),
    }


def _changing(entry: EntryDocument) -> Document:
    return {
        "shown": entry.shown,
        "rank": int(entry.attempts[-1].rank) if entry.attempts else None,
        "intakes": [ref.intake_id for ref in entry.intakes],
        "attachments": attachment_hashes(entry),
        "doc": entry.to_json().decode(),
    }
