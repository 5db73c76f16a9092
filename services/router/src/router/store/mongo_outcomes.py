"""On MongoDB: outcomes, what waits for its target, what a desk's reference means, and suggested links."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo import ASCENDING, DeleteOne, UpdateOne
from threadline_runtime.mongo import Document, MongoDatabase, compound_id

from router.domain.documents import IntakeRef, Suggestion
from router.store.port import Outcome, OutcomeName, Waiting

__all__ = ["MongoOutcomes"]

_ENDS_WAITING: frozenset[OutcomeName] = frozenset({"applied", "duplicate", "ignored"})


class MongoOutcomes:
    """Outcomes, waiting events, desk references, suggestions. Part of the store."""

    def __init__(self, database: MongoDatabase) -> None:
        self._outcomes = database.collection("router_outcomes")
        self._waiting = database.collection("router_waiting")
        self._references = database.collection("router_desk_references")
        self._suggestions = database.collection("router_suggestions")

    async def outcomes(self, intakes: Iterable[IntakeRef]) -> Mapping[IntakeRef, Outcome]:
        """Those recorded."""
        found = map(_outcome, await self._outcomes.by_ids(map(_outcome_id, set(intakes))))
        return {one.intake: one for one in found}

    async def outcomes_by_event(self, event_ids: Iterable[str]) -> Mapping[str, Sequence[Outcome]]:
        """Those recorded, by event."""
        found: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in map(_outcome, await self._outcomes.find({"event_id": {"$in": list(event_ids)}})):
            found[outcome.event_id].append(outcome)
        return found

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record each; the first stands but for waiting and dead letters."""
        refused = await self._outcomes.insert([{"_id": _outcome_id(one.intake), **_outcome_fields(one)} for one in outcomes])
        await self._outcomes.write([_over_a_weaker(outcomes[place]) for place in sorted(refused)])

    async def wait(self, waiting: Sequence[Waiting]) -> None:
        """Keep each under its target."""
        await self._waiting.insert([_waiting_document(one) for one in waiting])

    async def waiting_for(self, targets: Iterable[str]) -> Sequence[Waiting]:
        """What waits for any of the targets, oldest first."""
        order = [("since", ASCENDING), ("event_id", ASCENDING)]
        return [_waiting(one) for one in await self._waiting.find({"target": {"$in": list(targets)}}, order=order)]

    async def wait_no_more(self, waiting: Sequence[Waiting]) -> None:
        """Take them away."""
        await self._waiting.write([DeleteOne({"_id": _waiting_id(one)}) for one in waiting])

    async def waiting_since(self, before: datetime, limit: int) -> Sequence[Waiting]:
        """What has waited since before a time."""
        found = await self._waiting.find({"since": {"$lt": before}}, order=[("since", ASCENDING)], limit=limit)
        return [_waiting(one) for one in found]

    async def put_reference(self, desk_id: str, reference: str, conversation_id: str) -> None:
        """The first stands."""
        await self._references.insert([{"_id": compound_id(desk_id, reference), "conversation_id": conversation_id}])

    async def reference(self, desk_id: str, reference: str) -> str | None:
        """The conversation, None where it is not known yet."""
        found = await self._references.first({"_id": compound_id(desk_id, reference)})
        return found["conversation_id"] if found else None

    async def suggest(self, suggestion: Suggestion) -> None:
        """Keep it unless one of its id is there."""
        await self._suggestions.insert([{"_id": suggestion.link_id, "brand": suggestion.brand, "doc": suggestion.to_json().decode()}])

    async def suggestions(self, brands: frozenset[str] | None, after: str | None, limit: int) -> Sequence[Suggestion]:
        """A page, by link id."""
        where: Document = {"_id": {"$gt": after or ""}}
        if brands is not None:
            where["brand"] = {"$in": list(brands)}
        found = await self._suggestions.find(where, order=[("_id", ASCENDING)], limit=limit)
        return [Suggestion.model_validate_json(one["doc"]) for one in found]

    async def drop_suggestion(self, link_id: str) -> None:
        """Take it away."""
        await self._suggestions.delete({"_id": link_id})


def _outcome_id(intake: IntakeRef) -> str:
    return compound_id(intake.intake_id, intake.index)


def _outcome_fields(one: Outcome) -> Document:
    return {
        "intake_id": one.intake.intake_id,
        "index": one.intake.index,
        "event_id": one.event_id,
        "account_id": one.account_id,
        "channel": one.channel,
        "outcome": one.outcome,
        "reason": one.reason,
        "at": one.at,
    }


def _over_a_weaker(one: Outcome) -> UpdateOne:
    weaker = ["dead-lettered", "waiting"] if one.outcome in _ENDS_WAITING else ["dead-lettered"]
    change = {"outcome": one.outcome, "reason": one.reason, "at": one.at}
    return UpdateOne({"_id": _outcome_id(one.intake), "outcome": {"$in": weaker}}, {"$set": change})


def _outcome(found: Document) -> Outcome:
    intake = IntakeRef(intake_id=found["intake_id"], index=found["index"])
    return Outcome(intake, found["event_id"], found["account_id"], found["channel"], found["outcome"], found["reason"], found["at"])


def _waiting_id(one: Waiting) -> str:
    made = (one.made.intake_id, one.made.index) if one.made else ()
    return compound_id(one.target, one.event_id, *made)


def _waiting_document(one: Waiting) -> Document:
    return {
        "_id": _waiting_id(one),
        "target": one.target,
        "event_id": one.event_id,
        "kind": one.kind,
        "body": one.body,
        "since": one.since,
        "account_id": one.account_id,
        "channel": one.channel,
        "made": {"intake_id": one.made.intake_id, "index": one.made.index} if one.made else None,
    }


def _waiting(found: Document) -> Waiting:
    made = found["made"]
    intake = IntakeRef(intake_id=made["intake_id"], index=made["index"]) if made else None
    return Waiting(
        found["target"], found["event_id"], found["kind"], found["body"], found["since"], intake, found["account_id"], found["channel"]
    )
