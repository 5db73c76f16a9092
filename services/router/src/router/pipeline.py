"""The inbound pipeline: a batch of events to entries, outcomes and published changes, in a constant number of round trips.

Place, decide in memory with all messages of a contact together, compare-and-set, carry out; losers start over. Every step is
idempotent: a crash between any two is repaired by redelivery or the sweeper. Not here: the journal, which shares nothing with this.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from threadline_events.inbound import InboundEvent
from threadline_events.records import timeline_record
from threadline_runtime.bus.port import Message as BusMessage
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.failpoints import failpoint

from router.amending import Amending
from router.domain.decide import Draft, decide_message, new_contact
from router.domain.documents import EntryDocument, IntakeRef, Strand
from router.domain.messages import Message, intake_of, message_of
from router.domain.views import entry_changed
from router.linking import Linking
from router.outbox import Outbox, Task
from router.parts import Parts, rounds
from router.people import readings
from router.placing import SizedEvent, own_mail, place_mails
from router.recording import record
from router.store.port import ContactChange, Outcome, OutcomeName, Owed, Stored

__all__ = ["Pipeline", "lanes"]

_LANES = 2
_LEAST_A_LANE = 100
_MOST_A_DECISION = 200
_MOST_INTAKES = 20
_BYTES_A_DECISION = 4 * 1024 * 1024


def lanes(messages: Sequence[Message]) -> list[list[Message]]:
    """A large batch in two that go side by side, so that one computes while the other waits for the database; each party in one only."""
    count = _LANES if len(messages) >= _LANES * _LEAST_A_LANE else 1
    lane_of = {party: place % count for place, party in enumerate(dict.fromkeys(m.party for m in messages))}
    return [[m for m in messages if lane_of[m.party] == lane] for lane in range(count)]


class Pipeline:
    """Takes batches of inbound events in."""

    def __init__(self, parts: Parts, outbox: Outbox, amending: Amending, linking: Linking) -> None:
        self._parts = parts
        self._outbox = outbox
        self._amending = amending
        self._linking = linking

    async def handle(self, batch: Sequence[BusMessage[InboundEvent]]) -> None:
        """Handle a batch from the bus; when this returns, every effect is durable."""
        await self.take([(message.body, len(message.record.value or b"")) for message in batch])

    async def take(self, events: Sequence[SizedEvent]) -> None:
        """Messages first, so that edits of the same batch find them; then what changes messages; then identities."""
        for event, _ in events:
            self._parts.tally.received(event.channel, event.account_id)
        received = [(e, size) for e, size in events if e.kind == "message.received"]
        own = [e for e, _ in received if e.channel == "email" and own_mail(e, self._parts)]
        ours = {e.message_id for e in own}
        await self._take_messages([pair for pair in received if pair[0].message_id not in ours])
        await failpoint("router.pipeline.after_messages")
        await self._record([(e, "ignored", "our own message") for e in own])
        identified = [e for e, _ in events if e.kind == "contact.identified"]
        changing = [e for e, _ in events if e.kind not in {"message.received", "contact.identified"}]
        if changing:
            await self._amending.take_events(changing)
        await failpoint("router.pipeline.after_changes")
        for event in identified:
            what, reason = await self._linking.take_identified(event)
            await failpoint("router.pipeline.after_identified")
            await self._record([(event, what, reason)])

    async def _take_messages(self, received: Sequence[SizedEvent]) -> None:
        mails = [pair for pair in received if pair[0].channel == "email"]
        todo = [message_of(event, size=size) for event, size in received if event.channel != "email"]
        if mails:
            todo += await place_mails(self._parts, mails)
        first, *others = lanes(todo)
        if not others:
            await self._decide(first)
            return
        # Each lane to its end, whatever becomes of the other: what is tried again must not run beside what still runs.
        ended = await asyncio.gather(self._decide(first), *map(self._decide, others), return_exceptions=True)
        errors = [error for error in ended if error is not None]
        if errors:  # what stops the consumer comes before what it waits for
            raise next((error for error in errors if isinstance(error, ConfigurationError)), errors[0])

    async def _decide(self, todo: Sequence[Message]) -> None:
        for _ in rounds("deciding about messages"):
            if not todo:
                return
            todo = await self._round(todo)

    async def _round(self, todo: Sequence[Message]) -> list[Message]:
        """Steps 3 to 5 for as many as can be decided now; the rest comes back."""
        mine: dict[str, list[Message]] = defaultdict(list)
        for message in todo:
            mine[message.party].append(message)
        documents = await self._parts.timeline.contacts(mine)
        await failpoint("router.pipeline.after_documents")
        filed = await self._parts.timeline.filed(m.message_id for m in todo)
        await failpoint("router.pipeline.after_entries")
        needy = [c for c, messages in mine.items() if _may_open(documents.get(c), messages)]
        others = await readings(self._parts.timeline, needy)
        rounds_ = [_Deciding(self._parts, c, documents.get(c), messages, filed) for c, messages in mine.items()]
        for deciding in rounds_:
            deciding.decide(others.get(deciding.contact_id, {}))
        lost = await self._store([d for d in rounds_ if d.draft.decided])
        await self._finish([(d, m) for d in rounds_ if d.contact_id not in lost for m in d.before])
        return [m for d in rounds_ for m in (d.messages if d.contact_id in lost else d.left)]

    async def _store(self, decided: Sequence["_Deciding"]) -> frozenset[str]:
        """Compare-and-set, and carry out what was won together with what those documents owed before; who lost."""
        if not decided:
            return frozenset()
        at = self._parts.clock()
        changes = [ContactChange(d.draft.expected, d.draft.document(), d.draft.item(at)) for d in decided]
        won = await self._parts.timeline.commit_contacts(changes)
        await failpoint("router.pipeline.after_compare_and_set")
        tasks = []
        for deciding, change in zip(decided, changes, strict=True):
            if deciding.contact_id in won:
                owed = deciding.stored.outbox if deciding.stored else ()
                tasks += [Task("contacts", deciding.contact_id, item) for item in (*owed, change.item)]
        await self._outbox.perform(tasks)
        self._count([e for d in decided if d.contact_id in won for e in d.draft.entries])
        return frozenset(d.contact_id for d in decided) - won

    def _count(self, entries: Sequence[EntryDocument]) -> None:
        at = self._parts.clock()
        for entry in entries:
            self._parts.tally.stored(entry.channel, entry.account_id or "", (at - entry.occurred_at).total_seconds())

    async def _finish(self, before: Sequence[tuple["_Deciding", Message]]) -> None:
        """Messages decided before: what is left of their steps, then those of another intake are duplicates."""
        owing = dict.fromkeys(d.contact_id for d, m in before if d.still_owed(m))
        if owing:
            await self._outbox.carry([Owed("contacts", c) for c in owing])
        await failpoint("router.pipeline.before_duplicates")
        if before:
            await self._duplicates([m.event for _, m in before])

    async def _duplicates(self, events: Sequence[InboundEvent]) -> None:
        """Name the other intake and account in the entry, publish, record. The outcome is the mark: where it is, nothing runs."""
        entries = await self._parts.timeline.entries({e.message_id for e in events})
        marks = [(e, made) for e in events if (made := intake_of(e)) is not None]
        recorded = await self._parts.outcomes.outcomes(made for _, made in marks)
        over = {made for made, outcome in recorded.items() if outcome.outcome != "dead-lettered"}
        fresh = [(e, made) for e, made in marks if made not in over and e.message_id in entries and entries[e.message_id].made != made]
        if not fresh:
            return
        stored = await self._named_by(fresh)
        await failpoint("router.pipeline.after_duplicate")
        await self._parts.bus.publish([timeline_record(entry_changed(e)) for e in stored.values()])
        await failpoint("router.pipeline.before_duplicate_outcome")
        await self._record([(e, "duplicate", None) for e, _ in fresh])

    async def _named_by(self, fresh: Sequence[tuple[InboundEvent, IntakeRef]]) -> Mapping[str, EntryDocument]:
        """The entries with these intakes and accounts named, as stored."""
        stored: dict[str, EntryDocument] = {}
        todo = {e.message_id for e, _ in fresh}
        for _ in rounds("naming duplicates"):
            entries = await self._parts.timeline.entries(todo)
            after = [now for i, entry in entries.items() if (now := _with_intakes(entry, [p for p in fresh if p[0].message_id == i]))]
            stored |= dict(entries) | {e.message_id: e for e in after}
            won = await self._parts.timeline.update_entries(after) if after else frozenset()
            todo = {e.message_id for e in after} - won
            if not todo:
                break
        return stored

    async def _record(self, told: Sequence[tuple[InboundEvent, OutcomeName, str | None]]) -> None:
        at = self._parts.clock()
        rows = [
            Outcome(made, e.event_id, e.account_id, e.channel, what, reason, at)
            for e, what, reason in told
            if (made := intake_of(e)) is not None
        ]
        if rows:
            await record(self._parts, rows)


def _with_intakes(entry: EntryDocument, brought: Sequence[tuple[InboundEvent, IntakeRef]]) -> EntryDocument | None:
    intakes = tuple(dict.fromkeys([*entry.intakes, *(made for _, made in brought)]))[:_MOST_INTAKES]
    accounts = tuple(dict.fromkeys([*entry.accounts, *(e.account_id for e, _ in brought)]))
    if intakes == entry.intakes and accounts == entry.accounts:
        return None
    return entry.model_copy(update={"intakes": intakes, "accounts": accounts, "version": entry.version + 1})


def _may_open(stored: Stored | None, messages: Sequence[Message]) -> bool:
    """Whether the person's strands must be read: a new strand opens later than all of them."""
    return (stored is None or stored.contact.active is None) and any(not m.automatic for m in messages)


class _Deciding:
    """One contact in one round: its messages, what it decides, and what is left over."""

    def __init__(self, parts: Parts, contact_id: str, stored: Stored | None, messages: Sequence[Message], filed: frozenset[str]) -> None:
        first = messages[0]
        contact = stored.contact if stored else new_contact(contact_id, first.event.brand, first.party_identity)
        self.contact_id = contact_id
        self.stored = stored
        self.messages = messages
        self.draft = Draft(contact, contact.version)
        self.before: list[Message] = []
        self.left: list[Message] = []
        self._policies = parts.policies
        self._filed = filed
        self._owed = {e.message_id for item in (stored.outbox if stored else ()) for e in item.entries}

    def still_owed(self, message: Message) -> bool:
        """Whether a message decided before stands in the outbox that was read."""
        return message.message_id in self._owed

    def decide(self, others: Mapping[str, Strand]) -> None:
        """Decide about the messages in their order, as many as one item may hold."""
        size, drafted = 0, set[str]()
        for message in self.messages:
            if message.message_id in self._owed or message.message_id in drafted or message.message_id in self._filed:
                self.before.append(message)
                continue
            if self.draft.entries and (len(self.draft.entries) >= _MOST_A_DECISION or size + message.size > _BYTES_A_DECISION):
                self.left.append(message)
                continue
            decide_message(self.draft, message, self._policies.brand(message.event.brand), others.values())
            drafted.add(message.message_id)
            size += message.size
