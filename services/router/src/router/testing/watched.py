"""The real router in the model's world, handled by workers that are stepped by hand, with a note of when each operation began and ended.

Not here: who is stepped when (the test), what must come of it (`oracle`), whether an order explains it (`serial_order`).
"""

import random
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from threadline_events import ids
from threadline_events.commands import AnyCommand, LinkIdentity, UnlinkIdentity
from threadline_events.inbound import InboundEvent
from threadline_events.timeline import Conversation

from router.domain.documents import EntryDocument
from router.domain.strands import decode_as_of
from router.people import persons
from router.store.port import EntryPage
from router.testing.model_events import BRAND, contact_of
from router.testing.model_world import Rec, World
from router.testing.oracle import Filed, Observed, Operation
from router.testing.serial_order import explained
from router.testing.stepping import finish

__all__ = ["Watched", "Worker"]

_KINDS = {"Resolve": "resolve", "Reopen": "reopen", "SendReply": "reply", "AddNote": "note"}


@dataclass
class Worker:
    """A process: the work it is at, and the records it has in hand."""

    work: Coroutine[Any, Any, None] | None = None
    recs: list[str] = field(default_factory=list)


class Watched:
    """A world, its workers, and the operations begun so far. Records are known by event and intake, commands by their id."""

    def __init__(self, names: str, *, reopen: bool) -> None:
        self.names = names
        self.reopen = reopen
        self.world = World(reopen, random.Random(0))  # noqa: S311 - which mails come back
        self.workers = {name: Worker() for name in ("pipeline 1", "pipeline 2", "api", "sweeper")}
        self.done: set[str] = set()
        self._operations: dict[str, Operation] = {}
        self._clock = 0

    # ---- what is asked
    def put(self, event: InboundEvent) -> None:
        """An event on the bus."""
        self.world.add(Rec(f"{event.event_id}/{event.intake_id}", event))

    def put_command(self, command: AnyCommand) -> None:
        """A command on the bus."""
        self.world.add(Rec(command.command_id, command))

    def begin(self, name: str, recs: list[str]) -> None:
        """A pipeline takes records from the bus."""
        for rec in recs:
            self.world.avail.remove(rec)
            self._begun(self.world.recs[rec].body)
        self.workers[name] = Worker(self.world.consume([self.world.recs[r] for r in recs]), recs)

    def ask(self, command: AnyCommand) -> None:
        """The API is asked for something."""
        self._begun(command)
        self.workers["api"] = Worker(self.world.ask(command), [command.command_id])

    def sweep(self) -> None:
        """The sweeper starts a round."""
        self.workers["sweeper"] = Worker(self.world.sweep())

    def overlapping(self) -> int:
        """How many operations are begun and not over."""
        return sum(o.ended is None for o in self._operations.values())

    def _begun(self, body: object) -> None:
        operation = self._operation(body)
        if operation is not None and operation.message_id not in self._operations:
            self._clock += 1
            self._operations[operation.message_id] = replace(operation, started=self._clock)

    def _operation(self, body: object) -> Operation | None:
        if isinstance(body, InboundEvent):
            return _message(body) if body.kind == "message.received" else None
        if isinstance(body, LinkIdentity | UnlinkIdentity):
            low, high = sorted((body.one, body.other))
            pair = ids.contact_id(BRAND, low), ids.contact_id(BRAND, high)
            kind = "link" if isinstance(body, LinkIdentity) else "unlink"
            automatic = isinstance(body, LinkIdentity) and body.automatic
            return Operation(ids.command_entry_id(body.command_id), kind, pair[0], pair=pair, automatic=automatic)
        about = _KINDS.get(getattr(body, "command", ""))
        return self._about_strand(body, about) if about else None

    def _about_strand(self, command: Any, kind: str) -> Operation:
        owner = finish(self.world.store.strands([command.conversation_id]))[command.conversation_id].owner
        as_of = decode_as_of(command.as_of) if kind == "resolve" else {}
        return Operation(ids.command_entry_id(command.command_id), kind, owner, command.conversation_id, as_of=as_of)

    # ---- what happens
    def step(self, name: str) -> str | None:
        """One step of a worker; the name of the one that comes next."""
        worker = self.workers[name]
        if worker.work is None:
            return None
        self._clock += 1
        try:
            return str(worker.work.send(None)[0])
        except StopIteration:
            self._over(worker)
            self.workers[name] = Worker()
            return None

    def crash(self, name: str) -> None:
        """A worker dies; what it had in hand is delivered again, if it is on the bus."""
        worker = self.workers[name]
        if worker.work is not None:
            worker.work.close()
        self.workers[name] = Worker()
        self.again(r for r in worker.recs if r not in self.done)

    def again(self, recs: Iterable[str]) -> None:
        """Records are delivered once more."""
        self.world.avail += [r for r in recs if r in self.world.recs and r not in self.world.avail]

    def _over(self, worker: Worker) -> None:
        self.done |= set(worker.recs)
        self.world.avail = [r for r in self.world.avail if r not in worker.recs]
        for rec in worker.recs:
            body = self.world.recs[rec].body
            key = body.message_id if isinstance(body, InboundEvent) else ids.command_entry_id(getattr(body, "command_id", ""))
            operation = self._operations.get(key)
            if operation is not None and operation.ended is None and getattr(body, "kind", "message.received") == "message.received":
                self._operations[key] = replace(operation, ended=self._clock)

    # ---- at rest
    def rest(self) -> list[str]:
        """Everything comes to rest, is looked at, and is then delivered once more; what is wrong."""
        for name, worker in self.workers.items():
            while self.workers[name].work is not None:
                self.step(name)
            self.again(r for r in worker.recs if r not in self.done)
        self._drain()
        self.world.check(self.names)
        if not self.world.violations and not explained(self._published(), self.observed(), reopen=self.reopen):
            self.world.violations.append("no serial order explains what is to be seen")
        if not self.world.violations:
            self._replay()
        return self.world.violations

    def _drain(self) -> None:
        for _ in range(4):
            finish(self.world.sweep())
            while self.world.avail:
                self.begin("pipeline 1", self.world.avail[:1])
                while self.workers["pipeline 1"].work is not None:
                    self.step("pipeline 1")

    def _published(self) -> list[Operation]:
        """Without commands of an API that died before it published them."""
        known = {ids.command_entry_id(r) for r in self.world.recs} | {
            r.body.message_id for r in self.world.recs.values() if isinstance(r.body, InboundEvent)
        }
        return [o for m, o in self._operations.items() if m in known]

    def _replay(self) -> None:
        before = self.world.snapshot()
        for rec in sorted(self.world.recs):
            finish(self.world.consume([self.world.recs[rec]]))
        finish(self.world.sweep())
        changed = self.world.changed_since(before)
        if changed:
            self.world.violations.append(f"replay changed {changed}")

    def observed(self) -> Observed:
        """What anybody can see: read as the API reads."""
        entries = {e.message_id: e for n in self.names for e in self._timeline(frozenset({contact_of(n)}))}
        found = finish(self.world.store.entries(self._operations))
        entries |= found
        summaries = finish(self.world.store.summaries({e.strand_id for e in entries.values() if e.strand_id}))
        cases = {i: self._case(summary) for i, summary in summaries.items()}
        return Observed(
            entries={m: Filed(e.party, e.strand_id, e.inbound_seq, _result(e)) for m, e in entries.items()},
            conversations={c.conversation_id: (c.status != "resolved", decode_as_of(c.as_of)) for c in cases.values()},
            reads_in={m: cases[e.strand_id].conversation_id for m, e in entries.items() if e.strand_id},
            timelines={c: self._shown_to(c) for c in map(contact_of, self.names)},
        )

    def _case(self, summary: Conversation) -> Conversation:
        while summary.joined is not None:
            summary = finish(self.world.store.summaries([summary.joined]))[summary.joined]
        return summary

    def _shown_to(self, contact: str) -> frozenset[str]:
        return frozenset(e.message_id for e in self._timeline(finish(persons(self.world.store, [contact]))[contact]))

    def _timeline(self, people: frozenset[str]) -> list[EntryDocument]:
        return list(finish(self.world.store.entry_page(EntryPage(parties=people, limit=1000))))


def _result(entry: EntryDocument) -> str | None:
    return "done" if entry.kind == "message" and entry.direction == "outbound" else entry.result


def _message(event: InboundEvent) -> Operation:
    answered = event.relates_to.reply_to
    name = answered.partition("@")[0] if answered else None
    parent = ids.mail_message_id(BRAND, answered, name.encode()) if answered and name else None
    at = int((event.received_at or event.occurred_at).timestamp() * 1000)
    party = ids.contact_id(BRAND, event.author.identity)
    return Operation(event.message_id, "message", party, at=at, mail=event.channel == "email", parent=parent)
