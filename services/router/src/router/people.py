"""Who is one person, and which strands that person has; always read afresh, for many contacts at once.

Costs two reads for contacts that nobody ever linked, however many. Not here: caches; none would be right for what is decided or shown.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from router.domain.documents import Strand
from router.domain.edges import component
from router.parts import rounds
from router.store.port import TimelineStore

__all__ = ["persons", "readings"]


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


async def readings(timeline: TimelineStore, contact_ids: Iterable[str]) -> Mapping[str, Mapping[str, Strand]]:
    """For each contact all strands of its person, by id."""
    people = await persons(timeline, contact_ids)
    if not people:
        return {}
    owned: dict[str, dict[str, Strand]] = defaultdict(dict)
    for strand in await timeline.strands_of(frozenset[str]().union(*people.values())):
        owned[strand.owner][strand.strand_id] = strand
    return {c: {i: s for member in person for i, s in owned.get(member, {}).items()} for c, person in people.items()}
