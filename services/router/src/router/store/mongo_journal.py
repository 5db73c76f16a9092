"""On MongoDB: the journal of intakes, and the joins of the audit, page by page. Shares nothing with the pipeline but the database."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime

from pymongo import ASCENDING
from threadline_runtime.mongo import Document, MongoDatabase

from router.store.port import JournalRow

__all__ = ["MongoJournal"]

_WITHOUT_RAW = (
    *("account_id", "channel", "brand", "received_at", "event_count", "origin", "media_type"),
    *("blob", "size", "outcome", "reason"),
)


class MongoJournal:
    """The journal's collection, and what it looks up in those of entries and outcomes."""

    def __init__(self, database: MongoDatabase) -> None:
        self._journal = database.collection("router_journal")
        self._entries = database.collection("router_entries")
        self._outcomes = database.collection("router_outcomes")

    async def add(self, rows: Sequence[JournalRow]) -> None:
        """Keep each; the first of an id stands."""
        await self._journal.insert([_document(row) for row in rows])

    async def intake(self, intake_id: str) -> JournalRow | None:
        """One intake with its payload or the blob that holds it."""
        found = await self._journal.first({"_id": intake_id})
        return _row(found, {}) if found else None

    async def audited(self, since: datetime, before: datetime, account_id: str | None) -> AsyncIterator[Sequence[JournalRow]]:
        """Pages of intakes with the outcomes of their events."""
        where: Document = {"received_at": {"$gte": since, "$lt": before}, **_of(account_id)}
        order = [("received_at", ASCENDING), ("_id", ASCENDING)]
        async for page in self._journal.pages(where, order=order, fields=_WITHOUT_RAW):
            outcomes = await self._outcomes_of([one["_id"] for one in page])
            yield [_row(one, outcomes.get(one["_id"], {})) for one in page]

    async def unjournalled(self, since: datetime, before: datetime, account_id: str | None) -> AsyncIterator[Mapping[str, int]]:
        """Counts by account of what no journalled intake explains, page by page: entries, then outcomes."""
        window = {"$gte": since, "$lt": before}
        async for counted in self._unjournalled_entries({"received_at": window, **_of(account_id)}):
            yield counted
        async for counted in self._unjournalled_outcomes({"at": window, **_of(account_id)}):
            yield counted

    async def _outcomes_of(self, intakes: Sequence[str]) -> Mapping[str, Mapping[int, str]]:
        found: dict[str, dict[int, str]] = defaultdict(dict)
        for one in await self._outcomes.find({"intake_id": {"$in": intakes}}, fields=["intake_id", "index", "outcome", "reason"]):
            reason = f"({one['reason']})" if one["reason"] is not None else ""
            found[one["intake_id"]][one["index"]] = f"{one['outcome']}{reason}"
        # An entry outweighs an earlier dead letter.
        for one in await self._entries.find({"made_by": {"$in": intakes}}, fields=["made_by", "made_index"]):
            found[one["made_by"]][one["made_index"]] = "stored"
        return found

    async def _unjournalled_entries(self, where: Document) -> AsyncIterator[Counter[str]]:
        """An entry is accounted for where any intake that brought it is in the journal."""
        inbound = {**where, "direction": "inbound", "made_by": {"$ne": None}}
        async for page in self._entries.pages(inbound, fields=["account_id", "made_by", "intakes"]):
            brought = {one["_id"]: {one["made_by"], *one["intakes"]} for one in page}
            known = await self._journalled(intake for some in brought.values() for intake in some)
            yield Counter(one["account_id"] for one in page if not brought[one["_id"]] & known)

    async def _unjournalled_outcomes(self, where: Document) -> AsyncIterator[Counter[str]]:
        """An event is accounted for where any intake that brought it is in the journal."""
        lost: set[tuple[str, str]] = set()
        async for page in self._outcomes.pages({**where, "outcome": {"$ne": "duplicate"}}, fields=["account_id", "event_id"]):
            events = [one["event_id"] for one in page]
            brought = await self._outcomes.find({"event_id": {"$in": events}}, fields=["event_id", "intake_id"])
            known = await self._journalled(one["intake_id"] for one in brought)
            explained = {one["event_id"] for one in brought if one["intake_id"] in known}
            new = {(one["account_id"], one["event_id"]) for one in page if one["event_id"] not in explained} - lost
            lost |= new
            yield Counter(account for account, _ in new)

    async def _journalled(self, intakes: Iterable[str]) -> frozenset[str]:
        return frozenset(one["_id"] for one in await self._journal.by_ids(dict.fromkeys(intakes), fields=["_id"]))


def _of(account_id: str | None) -> Document:
    return {} if account_id is None else {"account_id": account_id}


def _document(row: JournalRow) -> Document:
    return {
        "_id": row.intake_id,
        "account_id": row.account_id,
        "channel": row.channel,
        "brand": row.brand,
        "received_at": row.received_at,
        "event_count": row.event_count,
        "origin": row.origin,
        "media_type": row.media_type,
        "raw": row.raw,
        "blob": row.blob,
        "size": row.size,
        "outcome": row.outcome,
        "reason": row.reason,
    }


def _row(found: Document, outcomes: Mapping[int, str]) -> JournalRow:
    kept = {name: found[name] for name in _WITHOUT_RAW}
    return JournalRow(intake_id=found["_id"], raw=found.get("raw"), event_outcomes=outcomes, **kept)
