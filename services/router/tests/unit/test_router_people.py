"""P7: who is one person is read until nothing moved; aligning goes on until nothing is left to do."""

from datetime import UTC, datetime

from router.aligning import align
from router.changing import Changed
from router.domain.documents import Edge, Strand
from router.domain.edges import new_edge
from router.domain.strands import as_mapping
from router.people import persons, readings

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


def edge(one: str, other: str, *, active: bool, version: int) -> Edge:
    fresh = new_edge("acme", f"email:{one}@x.test", f"email:{other}@x.test")
    return fresh.model_copy(update={"active": active, "version": version})


def contact(name: str) -> str:
    return new_edge("acme", f"email:{name}@x.test", f"email:{name}@x.test").one_contact


class Moving:
    """Edges that change while somebody walks along them: a-b is undone and b-c made after the first hop."""

    def __init__(self) -> None:
        self.reads = 0
        self.before = [edge("a", "b", active=True, version=1), edge("b", "c", active=False, version=2)]
        self.after = [edge("a", "b", active=False, version=2), edge("b", "c", active=True, version=3)]

    async def edges_of(self, contact_ids):
        now = self.before if self.reads == 0 else self.after
        self.reads += 1
        return [e for e in now if set(e.pair) & set(contact_ids)]


async def test_people_who_were_never_one_are_not_shown_as_one():
    """Without the second reading a, b and c would be read together."""
    people = await persons(Moving(), [contact("a")])

    assert people == {contact("a"): {contact("a")}}


def strand(name: str, minute: int, joins: str | None = None) -> Strand:
    at = AT.replace(minute=minute)
    owner = contact(name)
    identity = f"email:{name}@x.test"
    return Strand(
        strand_id=f"c_{name}",
        brand="acme",
        owner=owner,
        owner_identity=identity,
        version=1,
        status="open",
        opened_at=at,
        last_activity_at=at,
        inbound_seq=1,
        joins=joins,
    )


class Still:
    """Three linked contacts with an open strand each."""

    def __init__(self, *strands: Strand) -> None:
        self.held = as_mapping(strands)
        self.derived: list[str] = []

    async def edges_of(self, contact_ids):
        both = (edge("a", "b", active=True, version=1), edge("b", "c", active=True, version=1))
        return [e for e in both if set(e.pair) & set(contact_ids)]

    async def strands_of(self, owners):
        return [s for s in self.held.values() if s.owner in set(owners)]

    async def open_strands_of(self, owners):
        return [s for s in await self.strands_of(owners) if s.status == "open"]

    async def strands_joined_to(self, strand_ids):
        return [s for s in self.held.values() if {s.strand_id, s.joins} & set(strand_ids)]

    async def change(self, owner, strand_id, alter):
        changed: Changed | None = alter(self.held[strand_id])
        if changed is None:
            return False
        self.held[strand_id] = changed.strand
        self.derived += changed.derive
        return True


class Around:
    def __init__(self, timeline):
        self.timeline = timeline


async def test_three_open_conversations_become_one():
    """An align ends with a round that found nothing to do."""
    still = Still(strand("a", 1), strand("b", 2), strand("c", 3))

    await align(Around(still), still.change, [contact("a")])

    assert [still.held[i].joins for i in ("c_a", "c_b", "c_c")] == [None, "c_a", "c_a"]
    read = (await readings(still, [contact("b")]))[contact("b")]
    assert set(read) == {"c_a", "c_b", "c_c"}


async def test_a_join_tells_the_conversation_it_leaves():
    """The summary of the case that a strand joined before is derived, too."""
    still = Still(strand("a", 1), strand("c", 3, joins="c_gone"))

    await align(Around(still), still.change, [contact("a")])

    assert still.held["c_c"].joins == "c_a"
    assert still.derived == ["c_gone"]
