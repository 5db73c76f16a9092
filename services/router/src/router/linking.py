"""Links and unlinks: an edge decides about itself, its history is what makes a command run once, its outbox carries the rest.

Automatic links come from events that say who somebody is; what is only claimed becomes a suggestion. Not here: reading people (`people`).
"""

from threadline_events.commands import Actor, LinkIdentity, UnlinkIdentity
from threadline_events.evidence import Evidence, links_by_itself
from threadline_events.ids import command_id
from threadline_events.inbound import InboundEvent
from threadline_runtime.failpoints import failpoint

from router.domain.commanding import command_entry
from router.domain.documents import Edge, OutboxItem, Suggestion, Why
from router.domain.edges import DONE, decide_edge, known_result, new_edge, recorded
from router.outbox import Outbox, Task
from router.parts import Parts, rounds
from router.store.port import EdgeChange, OutcomeName, Owed

__all__ = ["Linking"]

_SAME = "same_as"


class Linking:
    """Decides and carries out link and unlink commands."""

    def __init__(self, parts: Parts, outbox: Outbox) -> None:
        self._parts = parts
        self._outbox = outbox

    async def handle(self, command: LinkIdentity | UnlinkIdentity) -> str:
        """Decide once, carry out; the result (`done` or `refused:` and why)."""
        fresh = new_edge(command.brand, command.one, command.other)
        for _ in rounds("deciding about a link"):
            stored = (await self._parts.timeline.edges([fresh.link_id])).get(fresh.link_id)
            edge = stored.edge if stored else fresh
            before = recorded(edge, command.command_id)
            if before is not None:
                if stored is not None and stored.outbox:
                    await self._outbox.carry([Owed("edges", edge.link_id)])
                return before.result
            after, result = decide_edge(edge, command, self._parts.clock())
            item = self._item(edge, after, command, result)
            await failpoint("router.linking.before_compare_and_set")
            if await self._parts.timeline.commit_edge(EdgeChange(edge.version, after, item)):
                await failpoint("router.linking.after_compare_and_set")
                owed = stored.outbox if stored else ()
                await self._outbox.perform([Task("edges", edge.link_id, one) for one in (*owed, item)])
                if result == DONE and isinstance(command, LinkIdentity):
                    await failpoint("router.linking.before_suggestion_dropped")
                    await self._parts.timeline.drop_suggestion(edge.link_id)
                return result
        raise AssertionError("rounds end by themselves")

    def _item(self, edge: Edge, after: Edge, command: LinkIdentity | UnlinkIdentity, result: str) -> OutboxItem:
        why = (Why(rule="link" if isinstance(command, LinkIdentity) else "unlink", saw=command.reason, decided=True),)
        entry = command_entry(command, party=edge.one_contact, party_identity=edge.one, strand_id=None, result=result, why=why)
        ends = tuple(dict.fromkeys(edge.pair)) if result == DONE else ()
        return OutboxItem(number=after.version, at=self._parts.clock(), entries=(entry,), align=ends, rederive=ends)

    async def take_identified(self, event: InboundEvent) -> tuple[OutcomeName, str | None]:
        """An event that says which identities are one person's (participants of role `same_as`); its author's evidence grades the link."""
        outcome: tuple[OutcomeName, str | None] = ("ignored", "no other identity")
        for same in event.participants:
            if same.role != _SAME or same.identity == event.author.identity:
                continue
            if not links_by_itself(event.author.evidence):
                await self._suggest(event, same.identity)
                outcome = ("applied", "suggested")
                continue
            result = await self._said_again(event, same.identity) or await self.handle(_automatic(event, same.identity))
            outcome = ("applied", None) if result == DONE else ("ignored", result.partition(":")[2])
        return outcome

    async def _said_again(self, event: InboundEvent, other: str) -> str | None:
        """The result where the edge knows it already: providers say who somebody is with every message, and only news is decided."""
        edge = new_edge(event.brand, event.author.identity, other)
        stored = (await self._parts.timeline.edges([edge.link_id])).get(edge.link_id)
        known = known_result(stored.edge, event.author.evidence) if stored is not None else None
        if known is not None and stored is not None and stored.outbox:
            await self._outbox.carry([Owed("edges", edge.link_id)])
        return known

    async def _suggest(self, event: InboundEvent, other: str) -> None:
        edge = new_edge(event.brand, event.author.identity, other)
        await self._parts.timeline.suggest(
            Suggestion(
                link_id=edge.link_id,
                brand=event.brand,
                one=edge.one,
                other=edge.other,
                evidence=Evidence.CLAIMED,
                reason=f"{event.channel} {event.event_id}",
                at=event.received_at or event.occurred_at,
            )
        )


def _automatic(event: InboundEvent, other: str) -> LinkIdentity:
    return LinkIdentity(
        command_id=command_id("event", event.event_id, other),
        brand=event.brand,
        actor=Actor(identity=f"connector:{event.channel}", evidence=event.author.evidence),
        issued_at=event.received_at or event.occurred_at,
        one=event.author.identity,
        other=other,
        evidence=event.author.evidence,
        reason=f"{event.channel} said so",
        automatic=True,
    )
