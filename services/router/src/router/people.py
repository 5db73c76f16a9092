"""Who is one person, and which strands that person has; always read afresh, for many contacts at once.

Costs two reads for contacts that nobody ever linked, however many. Not here: caches; none would be right for what is decided or shown.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from router.domain.documents import Strand
from router.domain.edges import component
from router.parts import rounds
from router.store.port import TimelineStore

__all__ = ["cases", "open_readings", "persons", "readings"]


async def _collect(timeline: TimelineStore, contact_ids: frozenset[str]) -> tuple[dict[str, set[str]], dict[str, int], set[str]]:
    """Hop by hop: active neighbours, the version of each edge when first seen, and everybody seen."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    first: dict[str, int] = {}
    seen: set[str] = set()
    hop = set(contact_ids)
    while hop:
        edges = await timeline.edges_of(hop)
        seen |= hop
        hop = set()
        for edge in edges:
            first.setdefault(edge.link_id, edge.version)
            if edge.active:
                one, other = edge.pair
                neighbours[one].add(other)
                neighbours[other].add(one)
                hop |= set(edge.pair) - seen
    return neighbours, first, seen


async def persons(timeline: TimelineStore, contact_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Each contact's person: all that active edges connect it to. Read again until nothing moved between two readings."""
    wanted = frozenset(contact_ids)
    if not wanted:
        return {}
    for _ in rounds("who is one person"):
        neighbours, first, seen = await _collect(timeline, wanted)
        if not first:
            # Edges are never deleted: a contact without any was by itself when it was read, and there is no walk that could have torn.
            break
        again = {edge.link_id: edge.version for edge in await timeline.edges_of(seen)}
        if again == first:
            break
    return {c: component(c, neighbours) for c in wanted}


def _of(people: frozenset[str], owned: Mapping[str, Mapping[str, Strand]]) -> dict[str, Strand]:
    return {i: s for member in people for i, s in owned.get(member, {}).items()}


def _by_owner(strands: Iterable[Strand]) -> dict[str, dict[str, Strand]]:
    owned: dict[str, dict[str, Strand]] = defaultdict(dict)
    for strand in strands:
        owned[strand.owner][strand.strand_id] = strand
    return owned


async def _connected(timeline: TimelineStore, strand_ids: Iterable[str]) -> list[Strand]:
    """These strands and all that joins connect them with, whosever they are; one read where nothing was ever joined."""
    found: dict[str, Strand] = {}
    todo, asked = frozenset(strand_ids), frozenset[str]()
    while todo:
        asked |= todo
        for strand in await timeline.strands_joined_to(todo):
            found[strand.strand_id] = strand
        todo = frozenset(found.keys() | {s.joins for s in found.values() if s.joins is not None}) - asked
    return list(found.values())


async def cases(timeline: TimelineStore, owners: Mapping[str, str]) -> Mapping[str, Mapping[str, Strand]]:
    """For each strand (given with its owner) what joins connect it with among the strands of its owner's person, by id.

    That is its conversation and perhaps more, but not the person's whole past: the cost goes by the conversation.
    """
    people = await persons(timeline, owners.values())
    if not people:
        return {}
    owned = _by_owner(await _connected(timeline, owners))
    return {i: _of(people[owner], owned) for i, owner in owners.items()}


async def open_readings(timeline: TimelineStore, contact_ids: Iterable[str]) -> Mapping[str, Mapping[str, Strand]]:
    """For each contact whose person has several open strands: those, with all that joins connect them with."""
    people = await persons(timeline, contact_ids)
    if not people:
        return {}
    opened = _by_owner(await timeline.open_strands_of(frozenset[str]().union(*people.values())))
    several = {c: mine for c, person in people.items() if len(mine := _of(person, opened)) > 1}
    owned = _by_owner(await _connected(timeline, {i for mine in several.values() for i in mine}))
    return {c: _of(people[c], owned) for c in several}


async def readings(timeline: TimelineStore, contact_ids: Iterable[str]) -> Mapping[str, Mapping[str, Strand]]:
    """For each contact all strands of its person, by id."""
    people = await persons(timeline, contact_ids)
    if not people:
        return {}
    owned = _by_owner(await timeline.strands_of(frozenset[str]().union(*people.values())))
    return {c: _of(person, owned) for c, person in people.items()}
