"""What the router promises, written a second time: small, serial, in memory. It shares no rule with `router.domain`, only ids.

An operation is a row of steps, each of which looks at one whole state and changes it at once: a message is placed, then filed, then
its person is aligned; a resolve reads, decides, closes strand by strand, answers. Not here: which order of steps explains what the
real router did (`serial_order`), edits and duplicates (they change nothing that another operation looks at).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from threadline_events import ids

__all__ = ["Case", "Filed", "Observed", "Operation", "Placed", "State", "Step", "advance", "first_steps", "observe"]

Step = tuple[object, ...]
Placed = tuple["State", tuple[Step, ...]]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """What somebody asked of the router, and when by the observer's clock it was begun and over (`ended` is None while it is not)."""

    message_id: str
    kind: str
    party: str = ""
    strand_id: str | None = None
    at: int = 0
    mail: bool = False
    parent: str | None = None
    pair: Pair = ("", "")
    automatic: bool = False
    as_of: Mapping[str, int] = field(default_factory=dict)
    started: int = 0
    ended: int | None = None

    def before(self, other: "Operation") -> bool:
        """Whether it was over when the other began."""
        return self.ended is not None and self.ended < other.started


@dataclass(frozen=True, slots=True)
class Case:
    """A strand."""

    owner: str
    opened: int
    open: bool
    seq: int
    joins: str | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of an operation, where it is to be read."""

    party: str
    strand_id: str | None
    seq: int | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Everything there is. Never changed, always replaced."""

    reopen: bool
    claims: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filed: Mapping[str, Filed] = field(default_factory=dict)
    strands: Mapping[str, Case] = field(default_factory=dict)
    active: Mapping[str, str | None] = field(default_factory=dict)
    last: Mapping[str, str | None] = field(default_factory=dict)
    edges: Mapping[Pair, tuple[bool, bool]] = field(default_factory=dict)

    def key(self) -> tuple[object, ...]:
        """Equal for equal states."""
        maps = (self.claims, self.filed, self.strands, self.active, self.last, self.edges)
        return tuple(frozenset(one.items()) for one in maps)

    def person(self, contact: str) -> frozenset[str]:
        """Everybody that active links connect with a contact."""
        found = {contact}
        while more := {c for pair, (on, _) in self.edges.items() if on and found & set(pair) for c in pair} - found:
            found |= more
        return frozenset(found)

    def own(self, contact: str) -> dict[str, Case]:
        """The strands of a contact's person."""
        person = self.person(contact)
        return {i: s for i, s in self.strands.items() if s.owner in person}

    def age(self, strand_id: str) -> tuple[int, str]:
        """By which the oldest is found."""
        return self.strands[strand_id].opened, strand_id

    def case(self, strand_id: str) -> str:
        """The conversation that a strand reads in."""
        mine = self.own(self.strands[strand_id].owner)
        while (joined := self.strands[strand_id].joins) in mine:
            strand_id = str(joined)
        return strand_id

    def members(self, case: str) -> dict[str, Case]:
        """The strands of a conversation."""
        return {i: s for i, s in self.own(self.strands[case].owner).items() if self.case(i) == case}

    def with_strand(self, strand_id: str, strand: Case) -> "State":
        """The state with a strand put in its place, open or resolved as it is."""
        active, last = self.active.get(strand.owner), self.last.get(strand.owner)
        if strand.open:
            active, last = strand_id, None if last == strand_id else last
        elif active == strand_id:
            active, last = None, strand_id
        elif last is None:
            last = strand_id
        return replace(
            self,
            strands={**self.strands, strand_id: strand},
            active={**self.active, strand.owner: active},
            last={**self.last, strand.owner: last},
        )

    def file(self, message_id: str, filed: Filed) -> "State":
        """The state with what became of an operation."""
        return replace(self, filed={**self.filed, message_id: filed})


def first_steps(operation: Operation) -> tuple[Step, ...]:
    """The steps that an operation begins with."""
    if operation.kind == "message":
        return (("place",), ("file",)) if operation.mail else (("file",),)
    return (("read",), ("decide",)) if operation.kind == "resolve" else (("decide",),)


def advance(  # noqa: PLR0911 - a menu of steps, read from top to bottom
    state: State, operation: Operation, steps: tuple[Step, ...], overlapping: frozenset[str]
) -> list[Placed]:
    """What may come of an operation's next step; nothing where it cannot be now. `overlapping`: whom it was handled at once with."""
    (what, *known), rest = steps[0], steps[1:]
    if what == "place":
        return [(_claimed(state, operation, party), rest) for party in _parties(state, operation, overlapping)]
    if what == "file":
        return [_filed(state, operation, rest)]
    if what == "look":
        return [(state, _joining(state, str(known[0]), rest))]
    if what == "join":
        return [(_joined(state, *map(_text, known)), rest)]
    if what == "read":
        return [(state, (("decide", _read(state, operation), _held(state, operation.party)), *rest[1:]))]
    if what == "close":
        return [(_closed(state, operation, str(known[0])), rest)]
    if what == "answer":
        return [(state.file(operation.message_id, Filed(operation.party, operation.strand_id, None, _answer(state, operation))), rest)]
    if operation.kind in {"link", "unlink"}:
        return [_flipped(state, operation)]
    if operation.kind == "resolve":
        return [_resolving(state, operation, known[0])] if known[1] == _held(state, operation.party) else []
    if operation.kind == "reopen":
        return [_reopened(state, operation)]
    return [(state.file(operation.message_id, Filed(operation.party, operation.strand_id, None, "done")), ())]


def _text(one: object) -> str | None:
    return None if one is None else str(one)


def _held(state: State, contact: str) -> tuple[object, ...]:
    """What a contact's own document says; a decision in it stands only while that is still so."""
    return state.active.get(contact), state.last.get(contact), frozenset((i, s) for i, s in state.strands.items() if s.owner == contact)


# ---- messages
def _parties(state: State, operation: Operation, overlapping: frozenset[str]) -> set[str]:
    """Whose case a mail may belong to: its parent's, else that of a reply that came first, else its author's.

    A parent and its reply that are handled at once need not see each other.
    """
    relatives = [operation.parent] if operation.parent in state.claims else []
    relatives = relatives or list(state.children.get(operation.message_id, ()))
    found = {state.claims[str(r)] for r in relatives}
    unseen = all(r in overlapping for r in relatives)
    everybody = {*state.children.get(operation.message_id, ()), *([operation.parent] if operation.parent in state.claims else [])}
    more = {state.claims[str(r)] for r in everybody} if unseen and relatives else set()
    return found | more | ({operation.party} if unseen else set())


def _claimed(state: State, operation: Operation, party: str) -> State:
    children = state.children
    if operation.parent is not None:
        children = {**children, operation.parent: (*children.get(operation.parent, ()), operation.message_id)}
    return replace(state, claims={**state.claims, operation.message_id: party}, children=children)


def _filed(state: State, operation: Operation, rest: tuple[Step, ...]) -> Placed:
    party = state.claims.get(operation.message_id, operation.party)
    strand_id, steps = state.active.get(party), rest
    if strand_id is None:
        steps = (("look", party), *rest)
        strand_id = state.last.get(party) if state.reopen else None
    if strand_id is None:
        strand_id = ids.strand_id(operation.message_id)
        opened = max([operation.at, *(s.opened + 1 for s in state.own(party).values())])
        strand = Case(party, opened, True, 1)
    else:
        strand = replace(state.strands[strand_id], open=True, seq=state.strands[strand_id].seq + 1)
    return state.with_strand(strand_id, strand).file(operation.message_id, Filed(party, strand_id, strand.seq)), steps


# ---- one person, one open conversation
def _joining(state: State, contact: str, rest: tuple[Step, ...]) -> tuple[Step, ...]:
    found = sorted({state.case(i) for i, s in state.own(contact).items() if s.open}, key=state.age)
    if len(found) < 2:
        return rest
    return (("join", found[-1], found[0], state.strands[found[-1]].joins), ("look", contact), *rest)


def _joined(state: State, newest: str | None, oldest: str | None, was: str | None) -> State:
    strand = state.strands[str(newest)]
    return state.with_strand(str(newest), replace(strand, joins=oldest)) if strand.joins == was else state


def _flipped(state: State, operation: Operation) -> Placed:
    on, taken_back = state.edges.get(operation.pair, (False, False))
    linking = operation.kind == "link"
    result = "done"
    if linking and taken_back and operation.automatic:
        result = "refused:unlinked"
    elif not linking and not on:
        result = "refused:not_linked"
    after = state.file(operation.message_id, Filed(operation.party, None, None, result))
    if result != "done":
        return after, ()
    after = replace(after, edges={**after.edges, operation.pair: (linking, not linking)})
    return after, tuple(("look", c) for c in sorted(operation.pair))


# ---- resolving and reopening
def _open_in(state: State, operation: Operation) -> tuple[tuple[str, int], ...]:
    case = state.case(str(operation.strand_id))
    return tuple(sorted((i, s.seq) for i, s in state.members(case).items() if s.open))


_read = _open_in


def _answer(state: State, operation: Operation) -> str:
    return "refused:newer_message" if _open_in(state, operation) else "done"


def _resolving(state: State, operation: Operation, seen: object) -> Placed:
    found: tuple[tuple[str, int], ...] = seen  # type: ignore[assignment]
    refusal = None if found else "refused:not_open"
    if any(seq > operation.as_of.get(i, -1) for i, seq in found):
        refusal = "refused:newer_message"
    if refusal is not None:
        return state.file(operation.message_id, Filed(operation.party, operation.strand_id, None, refusal)), ()
    return state, (*(("close", i) for i, _ in found), ("answer",))


def _closed(state: State, operation: Operation, strand_id: str) -> State:
    strand = state.strands[strand_id]
    if not strand.open or strand.seq > operation.as_of[strand_id]:
        return state
    return state.with_strand(strand_id, replace(strand, open=False))


def _reopened(state: State, operation: Operation) -> Placed:
    strand = state.strands[str(operation.strand_id)]
    result = "done"
    steps: tuple[Step, ...] = (("look", operation.party),)
    if strand.open:
        result, steps = "refused:not_resolved", ()
    elif state.active.get(operation.party) is not None:
        result, steps = "refused:another_is_active", ()
    else:
        state = state.with_strand(str(operation.strand_id), replace(strand, open=True, seq=strand.seq + 1))
    return state.file(operation.message_id, Filed(operation.party, operation.strand_id, None, result)), steps


# ---- what can be seen
@dataclass(frozen=True, slots=True)
class Observed:
    """What anybody can see at rest: every entry, every conversation (open?, how far each strand counts), and each contact's timeline."""

    entries: Mapping[str, Filed]
    conversations: Mapping[str, tuple[bool, Mapping[str, int]]]
    reads_in: Mapping[str, str]
    timelines: Mapping[str, frozenset[str]]


def observe(state: State, contacts: frozenset[str]) -> Observed:
    """What anybody can see of a state."""
    cases = {state.case(i) for i in state.strands}
    conversations = {c: state.members(c) for c in cases}
    shown = {m: f for m, f in state.filed.items() if not (f.result or "").startswith("refused")}
    return Observed(
        entries=dict(state.filed),
        conversations={c: (any(s.open for s in of.values()), {i: s.seq for i, s in of.items()}) for c, of in conversations.items()},
        reads_in={m: state.case(f.strand_id) for m, f in state.filed.items() if f.strand_id is not None},
        timelines={c: frozenset(m for m, f in shown.items() if f.party in state.person(c)) for c in contacts},
    )
