"""A small world around the real router: customers who write, agents who command, crashes, redelivery, and what must hold at rest.

The rules are those of the design's model of the router, looked at over the real documents. Not here: which schedules are run (the tests).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from threadline_events import ids, topics
from threadline_events.commands import AnyCommand, Command, parse_command
from threadline_events.deliveries import AnyDelivery, DeliveryUpdated
from threadline_events.inbound import Attachment, InboundEvent
from threadline_events.model import Model
from threadline_events.outbound import OutboundMessage
from threadline_events.records import Record
from threadline_events.timeline import AnyTimelineChange, Conversation, ConversationChanged, parse_timeline_change

from router.amending import Amending, waiting_delivery
from router.commands import Commands
from router.domain.documents import Contact, EntryDocument, Strand
from router.domain.edges import component
from router.domain.policy import Account, BrandPolicy, Policies
from router.domain.strands import decode_as_of, open_conversations, summary
from router.domain.tokens import MailSigner
from router.domain.views import entry_changed
from router.linking import Linking
from router.outbox import Outbox
from router.parts import Parts
from router.pipeline import Pipeline
from router.store.port import ContactChange, EdgeChange
from router.sweeper import Sweeper
from router.testing.model_events import ACCOUNT, BRAND, NOW, bounced, contact_of, reported
from router.testing.stand_ins import CountNothing, HmacSigner
from router.testing.stepping import InlineDatabase, SteppedBus, SteppedTimeline, finish

__all__ = ["Rec", "World"]

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Rec:
    """A record on the bus: an inbound event, a command or a sender's report."""

    rec_id: str
    body: InboundEvent | AnyCommand | AnyDelivery


async def _no_uploads(_: str, __: Iterable[str]) -> Mapping[str, Attachment]:
    return {}


@dataclass
class World:
    """One router's stores, everything it published, and what was noticed on the way."""

    reopen: bool
    rng: random.Random
    violations: list[str] = field(default_factory=list)
    recs: dict[str, Rec] = field(default_factory=dict)
    avail: list[str] = field(default_factory=list)
    answers: dict[str, str | None] = field(default_factory=dict)
    published: dict[tuple[str, str], AnyTimelineChange] = field(default_factory=dict)
    outbound: dict[tuple[str, int], OutboundMessage] = field(default_factory=dict)
    cases: list[Conversation] = field(default_factory=list)
    decided: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    closed: Counter[tuple[str, str]] = field(default_factory=Counter)
    resolves: dict[datetime, tuple[str, Mapping[str, int]]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    active: dict[str, bool] = field(default_factory=dict)
    pairs: dict[str, tuple[str, str]] = field(default_factory=dict)
    states: list[frozenset[tuple[str, str]]] = field(default_factory=lambda: [frozenset()])
    holders: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the real workers together over stepped stores."""
        self.database = InlineDatabase()
        self.store = SteppedTimeline(self.database, self._committed)
        within = timedelta(days=14) if self.reopen else timedelta(0)
        account = Account(ACCOUNT, "email", BRAND, "support@acme.test")
        policies = Policies({BRAND: BrandPolicy(BRAND, "Acme", within)}, {ACCOUNT: account})
        signer = MailSigner(HmacSigner(), policies.mail_accounts())
        bus = SteppedBus(self._published)
        parts = Parts(self.store, self.store, self.store, _no_uploads, bus, lambda: NOW, policies, signer, CountNothing())
        self.parts = parts
        self.amending = Amending(parts)
        self.outbox = Outbox(parts, self.amending)
        self.linking = Linking(parts, self.outbox)
        self.pipeline = Pipeline(parts, self.outbox, self.amending, self.linking)
        self.commands = Commands(parts, self.outbox, self.linking)
        self.sweeper = Sweeper(parts, self.outbox)

    # ---- what is noticed on the way
    def _committed(self, change: ContactChange | EdgeChange) -> None:
        owner = change.contact.contact_id if isinstance(change, ContactChange) else change.edge.link_id
        if change.expected != self.versions.get(owner, 0):
            self.violations.append(f"a decision about {owner} was stored over another")
        self.versions[owner] = change.expected + 1
        for entry in change.item.entries:
            self.decided[entry.message_id].append(owner)
        if isinstance(change, EdgeChange):
            self.active[owner] = change.edge.active
            self.pairs[owner] = change.edge.pair
            self.states.append(frozenset(self.pairs[e] for e, on in self.active.items() if on))
        else:
            self._committed_contact(change)

    def _committed_contact(self, change: ContactChange) -> None:
        contact = change.contact
        was_active, was_last = self.holders.get(contact.contact_id, (None, None))
        for entry in change.item.entries:
            if entry.inbound_seq is not None:
                # The serial order of commits is the oracle: into the active strand, else the last (by policy), else a new one.
                new = ids.strand_id(entry.message_id)
                expected = was_active or (was_last if self.reopen and was_last else new)
                if entry.strand_id != expected:
                    self.violations.append(f"{entry.message_id} was filed in {entry.strand_id}, should be {expected}")
                was_active = entry.strand_id
        for strand in change.item.strands:
            self._closed(strand, contact.contact_id)
        self.holders[contact.contact_id] = (
            contact.active.strand_id if contact.active else None,
            contact.last.strand_id if contact.last else None,
        )

    def _closed(self, strand: Strand, owner: str) -> None:
        resolve = self.resolves.get(strand.resolved_at) if strand.resolved_at and strand.status == "resolved" else None
        if resolve is None or self.holders.get(owner, (None, None))[0] != strand.strand_id:
            return
        message_id, as_of = resolve
        self.closed[message_id, strand.strand_id] += 1
        if strand.inbound_seq > as_of.get(strand.strand_id, -1):
            self.violations.append(f"resolve {message_id} closed {strand.strand_id} over a message that was not read")
        if self._sql(f"SELECT 1 FROM router_entries WHERE filed = 1 AND message_id = '{message_id}'"):  # noqa: S608 - an id of ours
            self.violations.append(f"resolve {message_id} closed {strand.strand_id} after it was answered")

    def _published(self, record: Record) -> None:
        if record.topic == topics.TIMELINE:
            self._changed(parse_timeline_change(record.value))
        elif record.topic == topics.OUTBOUND:
            self._sent(OutboundMessage.model_validate_json(record.value))
        elif record.topic == topics.COMMANDS:
            command = parse_command(record.value)
            self.add(Rec(command.command_id, command))

    def _changed(self, change: AnyTimelineChange) -> None:
        if isinstance(change, ConversationChanged):
            key = ("case", change.conversation.conversation_id)
            if change.conversation.joined is None:
                self.cases.append(change.conversation)
        else:
            key = ("entry", change.entry.message_id)
        known = self.published.get(key)
        if known is None or known.version < change.version:
            self.published[key] = change
        elif known.version == change.version and known != change:
            self.violations.append(f"two contents of {key} under one version")

    def _sent(self, message: OutboundMessage) -> None:
        key = (message.message_id, message.attempt)
        if self.outbound.setdefault(key, message) != message:
            self.violations.append(f"two contents of what is sent as {key}")
        elif f"sent/{key}" not in self.recs:
            self.add(Rec(f"sent/{key}", reported(message)))
            if self.rng.random() < 0.4:
                self.add(Rec(f"bounce/{key}", bounced(message)))

    def add(self, rec: Rec) -> None:
        """Put a record on the bus."""
        if rec.rec_id not in self.recs:
            self.recs[rec.rec_id] = rec
            self.avail.append(rec.rec_id)

    # ---- processes
    async def consume(self, recs: list[Rec]) -> None:
        """A consumer's batch, as each topic's consumer would handle it."""
        events = [(r.body, 1000) for r in recs if isinstance(r.body, InboundEvent)]
        if events:
            await self.pipeline.take(events)
        reports = [waiting_delivery(r.body, self.parts) for r in recs if isinstance(r.body, DeliveryUpdated)]
        if reports:
            await self.amending.take(reports)
        for rec in recs:
            if isinstance(rec.body, Command):
                await self.commands.take(rec.body)

    async def sweep(self) -> None:
        """A sweep that waits for nothing."""
        await self.sweeper.sweep(owed_for=timedelta(seconds=-1))

    async def ask(self, command: AnyCommand) -> None:
        """The API: publish, decide, answer."""
        if command.command == "Resolve" and command.as_of is not None:
            self.resolves[command.issued_at] = (ids.command_entry_id(command.command_id), decode_as_of(command.as_of))
        entry = await self.commands.submit(command)
        self.answers[command.command_id] = entry.result

    # ---- what must hold at rest
    def check(self, names: Iterable[str]) -> None:
        """Look at everything and note what is wrong."""
        entries = {e.message_id: e for e in self._all("entries", EntryDocument, "WHERE filed = 1")}
        strands = {s.strand_id: s for s in self._all("strands", Strand)}
        unfiled = self._sql("SELECT message_id FROM router_entries WHERE filed = 0")
        self._require(not unfiled, f"claims left unfiled: {unfiled}")
        self._require(not self._sql("SELECT owner FROM router_outbox"), "outboxes are not empty")
        self._check_records(entries)
        for message_id, owners in self.decided.items():
            self._require(len(owners) == 1, f"{message_id} was decided {len(owners)} times")
        for key, count in self.closed.items():
            self._require(count == 1, f"{key} was closed {count} times")
        self._check_strands(entries, strands)
        self._check_people(strands, names)
        for message_id, entry in entries.items():
            known = self.published.get(("entry", message_id))
            self._require(
                known == parse_timeline_change(entry_changed(entry).to_json()), f"entry {message_id} differs from what was published"
            )

    def _check_records(self, entries: Mapping[str, EntryDocument]) -> None:
        outcomes = {(i, n): o for i, n, o in self._sql("SELECT intake_id, intake_index, outcome FROM router_outcomes")}
        for rec in self.recs.values():
            body = rec.body
            if isinstance(body, InboundEvent):
                outcome = outcomes.get((body.intake_id, body.intake_index))
                self._check_event(body, outcome, entries)
            elif isinstance(body, DeliveryUpdated):
                sent = entries.get(body.message_id)
                attempt = next((a for a in sent.attempts if a.number == body.attempt), None) if sent else None
                self._require(attempt is not None and bool(attempt.external_ids), f"report {rec.rec_id} was not applied")
                bounce = f"bounce/{(body.message_id, body.attempt)}" in self.recs
                state = attempt.rank.state if attempt else None
                self._require(state == ("failed" if bounce else "sent"), f"{body.message_id} is {state}")
            elif isinstance(body, Command):
                self._check_command(body, entries)

    def _check_event(self, event: InboundEvent, outcome: str | None, entries: Mapping[str, EntryDocument]) -> None:
        entry = entries.get(event.message_id)
        if event.kind == "message.received":
            if entry is None or entry.made is None:
                self.violations.append(f"message {event.message_id} has no filed entry")
            elif entry.made.intake_id == event.intake_id:
                self._require(outcome is None, f"intake {event.intake_id} has two outcomes")
            else:
                self._require(outcome == "duplicate", f"intake {event.intake_id} ended as {outcome}")
                self._require(event.intake_id in {i.intake_id for i in entry.intakes}, f"{event.intake_id} is not named in its entry")
        elif event.kind == "message.edited":
            count = [e.revision for e in entry.edits].count(event.revision or 0) if entry else None
            wanted = {"waiting"} if count is None else {"applied", "duplicate"}
            self._require(outcome in wanted and count in {None, 1}, f"edit {event.event_id}: {outcome}, applied {count} times")
        else:
            self._require(outcome == "applied", f"receipt {event.event_id}: {outcome}")

    def _check_command(self, command: AnyCommand, entries: Mapping[str, EntryDocument]) -> None:
        entry = entries.get(ids.command_entry_id(command.command_id))
        if entry is None:
            self.violations.append(f"command {command.command_id} left no entry")
            return
        answered = self.answers.get(command.command_id, entry.result)
        self._require(answered == entry.result, f"{command.command_id} was answered {answered}, stored {entry.result}")
        if command.command in {"LinkIdentity", "UnlinkIdentity"}:
            history = [d for (d,) in self._sql("SELECT doc FROM router_edges")]
            told = sum(d.count(f'"command_id":"{command.command_id}"') for d in history)
            self._require(told == 1, f"{command.command_id} stands {told} times in histories")
        if entry.kind == "resolve" and entry.result == "refused:not_open":
            self._require(not any(m == entry.message_id for m, _ in self.closed), f"{command.command_id} refused and effective")

    def _check_strands(self, entries: Mapping[str, EntryDocument], strands: Mapping[str, Strand]) -> None:
        seqs: dict[str, list[int]] = defaultdict(list)
        for entry in entries.values():
            if entry.inbound_seq is not None and entry.strand_id is not None:
                seqs[entry.strand_id].append(entry.inbound_seq)
                self._require(strands[entry.strand_id].owner == entry.party, f"{entry.message_id} stands in a strand of another contact")
        held = {c.contact_id: (c.active, c.last) for c in self._all("contacts", Contact)}
        for i, strand in strands.items():
            self._require(len(set(seqs[i])) == len(seqs[i]), f"two messages of {i} share an inbound_seq")
            self._require(max(seqs[i], default=0) <= strand.inbound_seq, f"inbound_seq of {i} is behind")
            active, last = held[strand.owner]
            for one in (active, last):
                self._require(one is None or one.strand_id != i or one == strand, f"the copy of {i} differs from its contact")
            self._require((strand.status == "open") == (active is not None and active.strand_id == i), f"{i} is {strand.status}, wrongly")
            self._require(strand.joins is None or strands[strand.joins].age < strand.age, f"{i} joins a newer one")

    def _check_people(self, strands: Mapping[str, Strand], names: Iterable[str]) -> None:
        neighbours: dict[str, set[str]] = defaultdict(set)
        for one, other in self.states[-1]:
            neighbours[one].add(other)
            neighbours[other].add(one)
        summaries = {c.conversation_id: c for c in self._all("summaries", Conversation)}
        self._require(set(summaries) == set(strands), "there is a summary too many or too few")
        for person in {component(contact_of(n), neighbours) for n in names}:
            mine = {i: s for i, s in strands.items() if s.owner in person}
            self._require(len(open_conversations(mine)) <= 1, f"{sorted(person)} has {len(open_conversations(mine))} open conversations")
            for i in mine:
                have = summaries.get(i)
                want = summary(mine, i, have.version if have else 1, NOW)
                self._require(have == want, f"the summary of {i} is {have}, should be {want}")
                known = self.published.get(("case", i))
                told = known.conversation if isinstance(known, ConversationChanged) else None
                same = told is not None and told.model_copy(update={"version": want.version}) == want
                self._require(same, f"the summary of {i} differs from what was published")

    def shown_together(self, people: frozenset[str], since: int, names: Iterable[str]) -> None:
        """Somebody was shown these contacts as one person: they must have been one at some moment since."""
        for state in self.states[since:]:
            neighbours: dict[str, set[str]] = defaultdict(set)
            for one, other in state:
                neighbours[one].add(other)
                neighbours[other].add(one)
            if any(people <= component(contact_of(n), neighbours) for n in names):
                return
        self.violations.append(f"a timeline showed {sorted(people)}, who were never one person")

    def snapshot(self) -> dict[str, object]:
        """Everything stored, and the newest of everything published; for comparing."""
        tables = ("contacts", "edges", "outbox", "strands", "summaries", "entries", "entry_names", "outcomes", "waiting")
        stored = {t: sorted(map(repr, self._sql(f"SELECT * FROM router_{t}"))) for t in tables}  # noqa: S608 - constants only
        return stored | {"published": {k: repr(v) for k, v in self.published.items()}, "outbound": sorted(self.outbound)}

    def changed_since(self, before: Mapping[str, Any]) -> list[str]:
        """What a replay changed. A change that a dead worker left waiting after another had made it may go: nothing else then differs."""
        after = self.snapshot()
        gone = set(before["waiting"]) - set(cast("list[str]", after["waiting"]))
        kept = dict(before) | {"waiting": [row for row in before["waiting"] if row not in gone]}
        return [name for name in kept if kept[name] != after[name]]

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.violations.append(otherwise)

    def _all(self, table: str, model: type[M], where: str = "") -> list[M]:
        return [model.model_validate_json(doc) for (doc,) in self._sql(f"SELECT doc FROM router_{table} {where}")]  # noqa: S608 - constants only

    def _sql(self, statement: str) -> list[tuple[Any, ...]]:
        return finish(self.database.rows(statement))
