"""Changes of single entries: edits, deletions, reactions, receipts, reports of senders.

Either side may come first, so both write before they look: the event is stored under its target's key, then the target is looked up;
an entry (or a name it learned) is stored, then what waits for it is applied. Not here: what a change means (`domain.amendments`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from threadline_events.deliveries import DeliveryUpdated
from threadline_events.inbound import InboundEvent
from threadline_events.keys import target_key
from threadline_events.records import timeline_record
from threadline_runtime.failpoints import failpoint

from router.domain.amendments import amend_by_delivery, amend_by_event, target_of
from router.domain.documents import EntryDocument
from router.domain.messages import intake_of
from router.domain.tokens import OwnMessage, worth_verifying
from router.domain.views import entry_changed
from router.parts import Parts, rounds
from router.recording import record
from router.store.port import Outcome, OutcomeName, Waiting

__all__ = ["Amending", "waiting_delivery"]


@dataclass(frozen=True, slots=True)
class _Change:
    """Something that waited and the entry it is for."""

    waiting: Waiting
    message_id: str
    event: InboundEvent | None
    report: DeliveryUpdated | None
    attempt: int | None = None

    def amend(self, entry: EntryDocument) -> EntryDocument | None:
        if self.event is not None:
            return amend_by_event(entry, self.event, self.attempt)
        return amend_by_delivery(entry, self.report) if self.report is not None else None


def waiting_delivery(report: DeliveryUpdated, parts: Parts) -> Waiting:
    """A sender's report as something that waits for the entry it is about."""
    name = f"{report.message_id}/{report.attempt}/{report.try_}/{report.state}"
    return Waiting(report.message_id, name, "delivery", report.to_json(), parts.clock())


class Amending:
    """Takes changes in, and applies what waited."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def take_events(self, events: Sequence[InboundEvent]) -> None:
        """Store each under its target, then apply those whose target is here."""
        fresh = await self._not_done(events)
        named = [e for e in fresh if self._names_something(e)]
        await self._record([(self._waiting(e), "ignored", "names_nothing") for e in fresh if e not in named])
        if named:
            await self.take([self._waiting(e) for e in named])

    async def take(self, waiting: Sequence[Waiting]) -> None:
        """The same for what is already put into that form (events and reports)."""
        await self._parts.outcomes.wait(waiting)
        await failpoint("router.amending.after_wait")
        found = await self._targets(waiting)
        left = [w for w in waiting if w.target not in found]
        await self._record([(w, "waiting", None) for w in left])
        await failpoint("router.amending.after_waiting_recorded")
        await self._apply([(w, found[w.target]) for w in waiting if w.target in found])

    async def apply_waiting(self, targets: Mapping[str, str]) -> None:
        """Apply what waits for entries just stored. `targets`: name or message id to message id."""
        waiting = [w for w in await self._parts.outcomes.waiting_for(targets) if w.kind != "command"]
        if waiting:
            await self._apply([(w, targets[w.target]) for w in waiting])

    async def _not_done(self, events: Sequence[InboundEvent]) -> list[InboundEvent]:
        """Those without a final outcome; the same event brought by another intake before is a duplicate."""
        recorded = await self._parts.outcomes.outcomes_by_event({e.event_id for e in events})
        fresh: list[InboundEvent] = []
        again: list[InboundEvent] = []
        over: list[InboundEvent] = []
        for event in events:
            told = [o for o in recorded.get(event.event_id, ()) if o.outcome not in {"waiting", "dead-lettered"}]
            if any(o.intake == intake_of(event) for o in told):
                over.append(event)
            elif any(o.outcome in {"applied", "ignored"} for o in told):
                again.append(event)
            else:
                fresh.append(event)
        await self._record([(self._waiting(e), "duplicate", None) for e in again])
        if over or again:
            # It may have waited before, and a crash have come between its outcome and this.
            await self._parts.outcomes.wait_no_more([self._waiting(e) for e in (*over, *again)])
        return fresh

    def _waiting(self, event: InboundEvent) -> Waiting:
        made, at = intake_of(event), self._parts.clock()
        return Waiting(self._target(event), event.event_id, "event", event.to_json(), at, made, event.account_id, event.channel)

    def _target(self, event: InboundEvent) -> str:
        """The name under which the event waits; a returned mail's envelope sender, which we signed, names it best."""
        own = self._signed(event)
        external = target_of(event)
        if own is not None:
            return own.message_id
        return target_key(event.channel, event.account_id, event.brand, external) if external else event.message_id

    def _names_something(self, event: InboundEvent) -> bool:
        """Whether a receipt says whose it is; by its own id it would be that of the bounce itself."""
        return event.kind != "receipt.received" or self._signed(event) is not None or bool(target_of(event))

    def _signed(self, event: InboundEvent) -> OwnMessage | None:
        """The attempt named by an envelope sender of this brand that a returned mail came back to."""
        if event.kind != "receipt.received":
            return None
        read = (self._parts.signer.read_envelope(address) for address in worth_verifying(event.hints.reply_tokens))
        return next((own for own in read if own is not None and own.brand == event.brand), None)

    def _attempt(self, event: InboundEvent) -> int | None:
        """Which attempt a receipt's signed name tells."""
        receipt = event.relates_to.receipt
        own = self._signed(event)
        if own is None and receipt is not None and receipt.of is not None:
            own = self._parts.signer.read_message_id(receipt.of)
        return own.attempt if own else None

    async def _targets(self, waiting: Sequence[Waiting]) -> dict[str, str]:
        """Target to message id, where its entry is filed."""
        wanted = {w.target for w in waiting}
        named = await self._parts.timeline.named(wanted)
        filed = await self._parts.timeline.filed(wanted)
        found = {name: ref.message_id for name, refs in named.items() for ref in reversed(refs) if ref.filed}
        return found | {i: i for i in filed}

    def _change(self, waiting: Waiting, message_id: str) -> _Change:
        if waiting.kind == "delivery":
            return _Change(waiting, message_id, None, DeliveryUpdated.model_validate_json(waiting.body))
        event = InboundEvent.model_validate_json(waiting.body)
        return _Change(waiting, message_id, event, None, self._attempt(event))

    async def _apply(self, targets: Sequence[tuple[Waiting, str]]) -> None:
        """Update, publish what is stored, record, and only then let them wait no more."""
        if not targets:
            return
        changes = [self._change(w, i) for w, i in targets]
        stored, learned = await self._update(changes)
        await failpoint("router.amending.after_update")
        await self._parts.bus.publish([timeline_record(entry_changed(e)) for e in stored.values()])
        await failpoint("router.amending.after_publish")
        await self._record([(c.waiting, "applied", None) for c in changes])
        await failpoint("router.amending.after_outcome")
        await self._parts.outcomes.wait_no_more([c.waiting for c in changes])
        if learned:
            await failpoint("router.amending.after_names_learned")
            await self.apply_waiting(learned)

    async def _update(self, changes: Sequence[_Change]) -> tuple[dict[str, EntryDocument], dict[str, str]]:
        """Every change made on its entry; the entries as stored, and names they learned."""
        stored: dict[str, EntryDocument] = {}
        todo = {c.message_id for c in changes}
        for _ in rounds("updating entries"):
            if not todo:
                break
            before = await self._parts.timeline.entries(todo)
            after = {}
            for i, entry in before.items():
                now = entry
                for change in changes:
                    now = (change.amend(now) if change.message_id == i else None) or now
                stored[i] = now
                if now is not entry:
                    after[i] = stored[i] = now.model_copy(update={"version": entry.version + 1})
            await failpoint("router.amending.before_update")
            won = await self._parts.timeline.update_entries(list(after.values())) if after else frozenset()
            todo = set(after) - won
        # All names of a reported message, not only new ones: a crash may have come after they were stored and before this.
        return stored, {name: c.message_id for c in changes if c.report for name in stored[c.message_id].names}

    async def _record(self, told: Sequence[tuple[Waiting, OutcomeName, str | None]]) -> None:
        at = self._parts.clock()
        rows = [
            Outcome(w.made, w.event_id, w.account_id, w.channel, what, reason, at)
            for w, what, reason in told
            if w.made is not None and w.kind == "event"
        ]
        if rows:
            await record(self._parts, rows)
