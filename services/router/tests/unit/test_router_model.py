"""P2, P7: the real router under random schedules of two pipelines, an API, a sweeper, crashes and redelivery keeps every rule of the model.

`THREADLINE_SCHEDULES` asks for more schedules than a test run has time for; a failure names its seed.
"""

import copy
import itertools
import os
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from router import amending, changing, closing, deriving, outbox, pipeline
from router.commands import UnknownTargetError
from router.domain import commanding
from router.domain.strands import summary
from router.outbox import Outbox
from router.parts import TooManyRounds
from router.people import persons
from router.pipeline import Pipeline
from router.store.sqlite import SqliteTimeline
from router.testing.model_events import BRAND, NOW, contact_of, edited, identity_of, received
from router.testing.model_world import Rec, World
from router.testing.stepping import finish, step
from threadline_events import ids
from threadline_events.commands import Actor, AddNote, Assign, LinkIdentity, Reopen, Resolve, SendReply, Snooze, UnlinkIdentity
from threadline_events.evidence import Evidence
from threadline_events.inbound import InboundEvent

SCHEDULES = int(os.environ.get("THREADLINE_SCHEDULES", "120"))
FIRST = int(os.environ.get("THREADLINE_FIRST_SCHEDULE", "1"))
_AGENT = Actor(identity="api:key-1")
_MOST_STEPS = 30_000


@dataclass
class Ask:
    """A command to be; which conversation it is about is seen when it is given."""

    kind: str
    number: int
    pair: tuple[str, str] = ("a", "b")
    automatic: bool = False
    stale: int = 4
    about: str | None = None


@dataclass
class Scenario:
    names: str
    reopen: bool
    setup: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    scripts: list[list[Ask]] = field(default_factory=list)
    consumers: int = 2
    batch: int = 2
    sweeps: int = 1
    readers: int = 0


def forgotten() -> Scenario:
    """An open conversation of a and b whose own strand a no longer holds; d's is older: then b and d are linked."""
    made = Scenario("abd", reopen=False, consumers=2, batch=1)

    def message(n: int, author: str) -> InboundEvent:
        return received(f"m{n}", n, author, mail=False, ref=None, minute=n, intake=1)

    first = message(2, "a")
    made.setup = [
        message(1, "d"),
        Ask("link", 11, ("a", "b")),
        first,
        message(3, "b"),
        Ask("unlink", 12, ("a", "b")),
        Ask("resolve", 13, about=ids.strand_id(first.message_id)),
        message(4, "a"),
        Ask("resolve", 14, about=ids.strand_id(message(4, "a").message_id)),
        Ask("link", 15, ("a", "b")),
    ]
    made.events = [Ask("link", 16, ("b", "d"))]
    made.scripts = [[Ask("resolve", 17)], [Ask("unlink", 18, ("b", "d"))]]
    return made


def scenario(seed: int) -> Scenario:  # noqa: C901 - a menu of chances, read from top to bottom
    """Customers who write mail and chat, answer each other, and are linked and unlinked meanwhile."""
    if seed % 20 == 7:
        return forgotten()
    r = random.Random(seed)
    kind = seed % 3
    made = Scenario("abcd"[: r.choice([2, 3, 3, 4])], r.random() < 0.5)
    counter = itertools.count(1)
    pairs, linked, messages = list(itertools.combinations(made.names, 2)), [], []

    def message(mail: bool | None = None) -> InboundEvent:
        n = next(counter)
        mails = [m for m in messages if m.channel == "email"]
        by_mail = r.random() < 0.5 if mail is None else mail
        answers = by_mail and mails and r.random() < (0.8 if kind == 2 else 0.4)
        ref = (r.choice(mails).external_id or "").partition("@")[0] if answers else None
        one = received(f"m{n}", n, r.choice(made.names), mail=by_mail, ref=ref, minute=r.choice([n, 1]), intake=1)
        messages.append(one)
        return one

    def ask(what: str) -> Ask:
        n = next(counter)
        if what in {"link", "unlink"}:
            pair = r.choice(linked) if what == "unlink" and linked and r.random() < 0.85 else r.choice(pairs)
            if what == "link":
                linked.append(pair)
            return Ask(what, n, pair, what == "link" and r.random() < 0.15)
        return Ask(what, n, stale=r.choice([1, 4, 4, 8]))

    made.setup = [ask("link") for _ in range(r.choice([0, 1, 2, 3]))]
    if seed % 4 == 3:
        for _ in range(r.randint(4, 10)):
            what = r.choice(["message", "message", "resolve", "link", "unlink"])
            made.setup.append(message(False) if what == "message" else ask(what))
    for _ in range(r.randint(1, 5)):
        (made.setup if r.random() < 0.4 else made.events).append(message(True if kind == 2 else None))
    for one in messages:
        copies = r.choice([0, 0, 0, 1]) if kind != 2 else r.choice([0, 1, 2])
        made.events += [one.model_copy(update={"intake_id": f"{one.intake_id}_{j}"}) for j in range(2, copies + 2)]
        made.events += [edited(one, revision, j) for revision in (1, 2) if r.random() < 0.1 for j in range(r.choice([1, 1, 2]))]
    if kind == 2:
        r.shuffle(made.events)
    if kind == 1:
        menu = ["link", "link", "unlink", "unlink", "resolve", "snooze"]
    else:
        menu = ["reply", "reply", "reopen", "resolve", "resolve", "resolve", "link", "unlink", "unlink", "assign", "note"]
    for _ in range(r.choice([1, 2, 3]) if kind != 2 else r.choice([0, 1])):
        made.scripts.append([ask(r.choice(menu)) for _ in range(r.randint(1, 4 if kind else 5))])
    made.events += [ask(r.choice(["link", "unlink"])) for _ in range(r.choice([0, 0, 1, 2]))]
    made.consumers, made.batch = r.choice([1, 2, 3]), r.choice([1, 2, 3])
    made.sweeps, made.readers = r.choice([0, 1, 2]), r.choice([0, 0, 2, 4]) if kind == 1 else 0
    return made


def command_of(world: World, ask: Ask, rng: random.Random) -> Any:
    """The command as an agent gives it who looks at what was published; None where there is nothing to look at."""
    common = {"command_id": f"k{ask.number}", "brand": BRAND, "actor": _AGENT, "issued_at": NOW + timedelta(milliseconds=ask.number)}
    one, other = map(identity_of, ask.pair)
    if ask.kind == "link":
        evidence = Evidence.PROVIDER if ask.automatic else Evidence.EXPLICIT
        return LinkIdentity(**common, one=one, other=other, evidence=evidence, automatic=ask.automatic)
    if ask.kind == "unlink":
        return UnlinkIdentity(**common, one=one, other=other)
    if not world.cases:
        return None
    recent = [c for c in world.cases if ask.about in {None, c.conversation_id}]
    case = recent[-1 - rng.randrange(min(ask.stale if ask.about is None else 1, len(recent)))]
    whole, strand = common | {"conversation_id": case.conversation_id}, common | {"conversation_id": rng.choice(case.strands).strand_id}
    return {
        "resolve": lambda: Resolve(**whole, as_of=case.as_of),
        "reopen": lambda: Reopen(**strand),
        "reply": lambda: SendReply(**strand, text="We look into it."),
        "assign": lambda: Assign(**whole, assignee=f"agent-{ask.number}"),
        "snooze": lambda: Snooze(**whole, until=NOW + timedelta(days=1)),
        "note": lambda: AddNote(**strand, text="a note"),
    }[ask.kind]()


async def agent(world: World, script: list[Ask], rng: random.Random) -> None:
    for ask in script:
        await step("agent reads")
        command = command_of(world, ask, rng)
        if command is not None:
            await world.ask(command)


async def sweeping(world: World, rounds: int) -> None:
    for _ in range(rounds):
        await world.sweep()
        await step("swept")


async def reading(world: World, names: str, rounds: int, rng: random.Random) -> None:
    for _ in range(rounds):
        start = len(world.states) - 1
        who = contact_of(rng.choice(names))
        shown = (await persons(world.store, [who]))[who]
        world.shown_together(shown, start, names)


@dataclass
class Process:
    name: str
    work: Coroutine[Any, Any, None] | None = None
    recs: list[str] = field(default_factory=list)

    def crash(self) -> None:
        if self.work is not None:
            self.work.close()
        self.work = None


class Schedule:
    """One seeded interleaving: at every step another process may run on, one may crash, a batch may be delivered again."""

    def __init__(self, made: Scenario, seed: int) -> None:
        self.rng, self.batches = random.Random(seed), random.Random(seed + 1)
        self.made = made
        self.world = World(made.reopen, random.Random(seed + 2))
        self.done: set[str] = set()
        self.crashes = 0

    def put(self, one: Any) -> None:
        if isinstance(one, InboundEvent):
            self.world.add(Rec(f"{one.event_id}/{one.intake_id}", one))
        else:
            command = command_of(self.world, one, self.batches)
            self.world.add(Rec(command.command_id, command))

    def prepare(self) -> list[Process]:
        for one in self.made.setup:
            if isinstance(one, InboundEvent):
                self.put(one)
                finish(self.world.consume([self.world.recs[self.world.avail[-1]]]))
            else:
                finish(agent(self.world, [one], self.batches))
        self.done |= {r for r in self.world.recs if not r.startswith(("sent/", "bounce/"))}
        self.world.avail = [r for r in self.world.recs if r not in self.done]
        for one in self.made.events:
            self.put(one)
        agents = [Process(f"api{i}", agent(self.world, s, random.Random(i))) for i, s in enumerate(self.made.scripts)]
        sweeper = Process("sweeper", sweeping(self.world, self.made.sweeps))
        reader = Process("reader", reading(self.world, self.made.names, self.made.readers, random.Random(9)))
        return [Process(f"consumer{i}") for i in range(self.made.consumers)] + [*agents, sweeper, reader]

    def can(self, process: Process) -> bool:
        return process.work is not None or (process.name.startswith("consumer") and bool(self.world.avail))

    def again(self, process: Process) -> None:
        self.world.avail += [r for r in process.recs if r not in self.done and r not in self.world.avail]

    def take(self, process: Process) -> None:
        count = min(len(self.world.avail), self.batches.randint(1, self.made.batch))
        process.recs = [self.world.avail.pop(self.batches.randrange(len(self.world.avail))) for _ in range(count)]
        process.work = self.world.consume([self.world.recs[r] for r in process.recs])

    def run(self) -> World:
        processes = self.prepare()
        switch, crash = self.rng.choice([0.05, 0.15, 0.3, 0.6]), self.rng.choice([0, 0.005, 0.02])
        again, current = self.rng.choice([0, 0.02, 0.05]), processes[0]
        for _ in range(_MOST_STEPS):
            live = [p for p in processes if self.can(p)]
            if not live:
                break
            chance, chosen = self.rng.random(), self.rng.choice(live)
            if chance < crash and chosen.work and chosen.name != "reader" and self.crashes < 8:
                chosen.crash()
                self.again(chosen)
                chosen.recs = []
                self.crashes += 1
                continue
            if crash <= chance < crash + again:
                self.again(chosen)
            if self.rng.random() < switch or not self.can(current):
                current = chosen
            self.advance(current)
        else:
            self.world.violations.append("the schedule does not end")
        self.rest()
        return self.world

    def advance(self, process: Process) -> None:
        if process.work is None:
            self.take(process)
        try:
            process.work.send(None)  # type: ignore[union-attr]
        except StopIteration:
            process.work = None
            self.done |= set(process.recs)
            self.world.avail = [r for r in self.world.avail if r not in self.done]
            process.recs = []

    def rest(self) -> None:
        """Everything comes to rest; then it is looked at; then all is delivered once more, and nothing may change."""
        for _ in range(4):
            finish(self.world.sweep())
            while self.world.avail:
                finish(self.world.consume([self.world.recs[self.world.avail.pop()]]))
        self.world.check(self.made.names)
        if self.world.violations:
            return
        before = self.world.snapshot()
        order = sorted(self.world.recs)
        self.batches.shuffle(order)
        for rec in order:
            finish(self.world.consume([self.world.recs[rec]]))
        finish(self.world.sweep())
        changed = self.world.changed_since(before)
        if changed:
            self.world.violations.append(f"replay changed {changed}")


def violations(seed: int, runs: int = 1) -> list[str]:
    made = scenario(seed)
    found = []
    for i in range(runs):
        found += [f"seed {seed} run {i}: {v}" for v in Schedule(replace(made), seed * 10 + i).run().violations[:2]]
    return found


@pytest.mark.parametrize("chunk", range(4))
def test_every_schedule_keeps_the_rules(chunk):
    """P2, P3, P7, P8: whatever the order, whoever crashes."""
    found = []
    for seed in range(FIRST + chunk, FIRST + SCHEDULES, 4):
        found += violations(seed)

    assert found == []


# ---- Every rule off, one at a time: a suite that cannot turn red proves nothing.
async def _nothing(*_: Any, **__: Any) -> None:
    return None


def _without_version(patch: pytest.MonkeyPatch) -> None:
    """Compare-and-set without the version: the later writer wins over the earlier."""
    real = SqliteTimeline.commit_contacts

    async def commit(self: Any, changes: Any) -> Any:
        won = frozenset()
        for change in changes:
            stored = (await SqliteTimeline.contacts(self, [change.contact.contact_id])).get(change.contact.contact_id)
            version = stored.contact.version if stored else 0
            contact = change.contact.model_copy(update={"version": version + 1})
            item = change.item.model_copy(update={"number": version + 1})
            won |= await real(self, [replace(change, expected=version, contact=contact, item=item)])
        return won

    patch.setattr(SqliteTimeline, "commit_contacts", commit)


class _SeenBefore:
    """A timeline whose entries were looked up before anything else."""

    def __init__(self, timeline: Any, seen: Any) -> None:
        self._timeline, self._seen = timeline, seen

    async def filed(self, _: Any) -> Any:
        return self._seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._timeline, name)


def _entries_first(patch: pytest.MonkeyPatch) -> None:
    """Entries read before the aggregate: what was filed and taken from the outbox in between is decided again."""
    real = Pipeline._round

    async def early(self: Any, todo: Any) -> Any:
        other = copy.copy(self)
        seen = await self._parts.timeline.filed([m.message_id for m in todo])
        other._parts = replace(self._parts, timeline=_SeenBefore(self._parts.timeline, seen))
        return await real(other, todo)

    patch.setattr(Pipeline, "_round", early)


def _pull_first(patch: pytest.MonkeyPatch) -> None:
    """Outbox cleared before its decisions are carried out."""
    real = Outbox.perform

    async def perform(self: Any, tasks: Any) -> None:
        await self._pull(tasks)
        await real(self, tasks)

    patch.setattr(Outbox, "perform", perform)


def _look_before_waiting(patch: pytest.MonkeyPatch) -> None:
    """An edit looks for its target before it is stored under it."""
    real = amending.Amending._targets

    async def take(self: Any, waiting: Any) -> None:
        found = await real(self, waiting)
        await self._parts.outcomes.wait(waiting)
        await self._record([(w, "waiting", None) for w in waiting if w.target not in found])
        await self._apply([(w, found[w.target]) for w in waiting if w.target in found])

    patch.setattr(amending.Amending, "take", take)


def _version_last(patch: pytest.MonkeyPatch) -> None:
    """A summary's version is read after its sources."""
    real = deriving._derive_once

    async def late(parts: Any, strand_ids: Any) -> Any:
        own = await parts.timeline.strands(strand_ids)
        read = await deriving.readings(parts.timeline, {s.owner for s in own.values()})
        versions = await parts.timeline.summary_heads(strand_ids)
        wanted = [summary(read[s.owner], i, versions[i].version + 1 if i in versions else 1, parts.clock()) for i, s in own.items()]
        won = await parts.timeline.write_summaries(wanted)
        return [c for c in wanted if c.conversation_id in won], frozenset(own) - won

    assert real is not late
    patch.setattr(deriving, "_derive_once", late)


def _only_differences(patch: pytest.MonkeyPatch) -> None:
    """A derivation writes only where something differs, so an older one in flight does not miss."""

    async def lazy(parts: Any, strand_ids: Any) -> Any:
        versions = await parts.timeline.summaries(strand_ids)
        own = await parts.timeline.strands(strand_ids)
        read = await deriving.readings(parts.timeline, {s.owner for s in own.values()})
        wanted = [summary(read[s.owner], i, versions[i].version + 1 if i in versions else 1, parts.clock()) for i, s in own.items()]
        same = [
            c
            for c in wanted
            if c.conversation_id in versions and versions[c.conversation_id].model_copy(update={"version": c.version}) == c
        ]
        fresh = [c for c in wanted if c not in same]
        won = await parts.timeline.write_summaries(fresh)
        return [c for c in fresh if c.conversation_id in won] + same, {c.conversation_id for c in fresh} - won

    patch.setattr(deriving, "_derive_once", lazy)


def _forgotten_strands(patch: pytest.MonkeyPatch) -> None:
    """A strand that its contact no longer holds cannot be decided about."""
    real = changing.current_strand

    def held(stored: Any, copy: Any, strand_id: str) -> Any:
        return real(stored, None, strand_id)

    patch.setattr(changing, "current_strand", held)


def _unlinks_not_aligned(patch: pytest.MonkeyPatch) -> None:
    """A link or unlink aligns nobody."""
    real = Outbox.perform

    async def perform(self: Any, tasks: Any) -> None:
        changed = [replace(t, item=t.item.model_copy(update={"align": ()})) if t.collection == "edges" else t for t in tasks]
        await real(self, changed)

    patch.setattr(Outbox, "perform", perform)


def _closes_over_messages(patch: pytest.MonkeyPatch) -> None:
    """A resolve closes whatever is open."""
    real = closing.close

    async def blind(parts: Any, change: Any, step_: Any, party: str) -> str:
        everything = tuple(p.model_copy(update={"as_of": 10**6}) for p in step_.parts)
        return await real(parts, change, step_.model_copy(update={"parts": everything}), party)

    patch.setattr(outbox, "close", blind)


def _quiet_reopening(patch: pytest.MonkeyPatch) -> None:
    """A reopening does not raise inbound_seq, so an old resolve closes it again."""
    real = commanding.Draft.keep

    def keep(self: Any, strand: Any, *, resolved_now: bool = False) -> None:
        held = self.held(strand.strand_id)
        silent = not self.entries and held is not None and held.status == "resolved" and strand.status == "open"
        real(self, strand.model_copy(update={"inbound_seq": held.inbound_seq}) if silent and held else strand, resolved_now=resolved_now)

    patch.setattr(commanding.Draft, "keep", keep)


MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], int]] = {
    "compare-and-set without the version": (_without_version, 1),
    "entries read before the aggregate": (_entries_first, 153),
    "publish skipped after insert": (lambda patch: patch.setattr(Outbox, "_publish", _nothing), 1),
    "outbox cleared before it is carried out": (_pull_first, 1),
    "edit looks before it waits": (_look_before_waiting, 40),
    "what waited is not applied": (lambda patch: patch.setattr(amending.Amending, "apply_waiting", _nothing), 1),
    "nobody aligns": (lambda patch: patch.setattr(outbox, "align", _nothing), 2),
    "links do not derive": (lambda patch: patch.setattr(outbox, "rederive", _nothing), 16),
    "version read after the sources": (_version_last, 117),
    "derivation writes only differences": (_only_differences, 1),
    "forgotten strands": (_forgotten_strands, 47),
    "links do not align": (_unlinks_not_aligned, 8),
    "resolve closes over messages": (_closes_over_messages, 5),
    "quiet reopening": (_quiet_reopening, 12),
    "no outcome for duplicates": (lambda patch: patch.setattr(pipeline, "record", _nothing), 2),
}
"""What is switched off, and the first seed to look at: some faults show in one schedule of hundreds."""


def broken(seed: int) -> list[str]:
    try:
        return violations(seed, runs=2)
    except (TooManyRounds, UnknownTargetError, KeyError, AssertionError) as error:
        return [repr(error)]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_switched_off_is_noticed(name, monkeypatch):
    """Each seeded fault turns the model red."""
    switch_off, first = MUTANTS[name]
    switch_off(monkeypatch)

    assert any(broken(seed) for seed in range(first, first + 300)), f"{name} was not noticed"
