"""What an edge decides about itself: who may link, who may unlink, and which contacts are one person.

Not here: carrying it out (`router.linking`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from threadline_events.commands import LinkIdentity, UnlinkIdentity
from threadline_events.evidence import Evidence, weaker
from threadline_events.ids import contact_id, link_id

from router.domain.documents import Edge, LinkRecord

__all__ = ["DONE", "component", "decide_edge", "known_result", "new_edge", "recorded"]

DONE = "done"


def new_edge(brand: str, one: str, other: str) -> Edge:
    """The edge between two identities, before anything was said about it."""
    low, high = sorted((one, other))
    return Edge(
        link_id=link_id(brand, low, high),
        brand=brand,
        one=low,
        other=high,
        one_contact=contact_id(brand, low),
        other_contact=contact_id(brand, high),
    )


def recorded(edge: Edge, command_id: str) -> LinkRecord | None:
    """What the edge already answered to a command."""
    return next((r for r in edge.history if r.command_id == command_id), None)


def known_result(edge: Edge, evidence: Evidence) -> str | None:
    """What an automatic link of this evidence would end in, where it changes nothing and was answered before; else None."""
    if edge.active and edge.evidence is not None and weaker(evidence, edge.evidence) is evidence:
        return DONE
    last = edge.history[-1] if edge.history else None
    return last.result if last is not None and last.automatic and last.result != DONE else None


def _result(edge: Edge, command: LinkIdentity | UnlinkIdentity) -> str:
    if isinstance(command, UnlinkIdentity):
        return DONE if edge.active else "refused:not_linked"
    if edge.one_contact == edge.other_contact:
        return "refused:same_identity"
    if edge.unlinked and (command.automatic or command.evidence is not Evidence.EXPLICIT):
        return "refused:unlinked"
    return DONE


def decide_edge(edge: Edge, command: LinkIdentity | UnlinkIdentity, at: datetime) -> tuple[Edge, str]:
    """The edge with the command in its history, and the result. Call it only for a command not `recorded` yet."""
    result = _result(edge, command)
    linking = isinstance(command, LinkIdentity)
    record = LinkRecord(
        command_id=command.command_id,
        action="link" if linking else "unlink",
        evidence=command.evidence if isinstance(command, LinkIdentity) else None,
        actor=command.actor.identity,
        at=at,
        automatic=isinstance(command, LinkIdentity) and command.automatic,
        reason=command.reason,
        result=result,
    )
    changed: dict[str, object] = {"version": edge.version + 1, "history": (*edge.history, record)}
    if result == DONE:
        changed |= {"active": linking, "unlinked": not linking, "evidence": record.evidence}
    return edge.model_copy(update=changed), result


def component(start: str, neighbours: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Everybody that can be reached from `start`."""
    seen, todo = {start}, [start]
    while todo:
        for other in neighbours.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return frozenset(seen)
