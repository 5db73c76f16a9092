"""Steps 1 and 2 of the pipeline for mail: whose case each mail belongs to, claimed by inserting it as an unfiled entry.

Whoever inserts first says whose contact decides. A parent and its reply handled at once by two workers may stay two conversations.
"""

from collections.abc import Sequence

from threadline_events.inbound import InboundEvent
from threadline_runtime.failpoints import failpoint

from router.domain.documents import Claim
from router.domain.messages import Message, author_of
from router.domain.threading import Evidence, Known, Placement, gather, mentioned_names, place, wanted_names, wanted_refs, wanted_strands
from router.parts import Parts
from router.store.port import EntryRef

__all__ = ["SizedEvent", "own_mail", "place_mails"]

SizedEvent = tuple[InboundEvent, int]
"""An event and the bytes it took on the bus."""


def own_mail(event: InboundEvent, parts: Parts) -> bool:
    """Whether a mail is one that we sent (a copy to ourselves): known by its signed Message-ID, never by From."""
    own = parts.signer.read_message_id(event.external_id) if event.external_id else None
    return own is not None and own.brand == event.brand


async def _known(parts: Parts, events: Sequence[InboundEvent], evidence: Sequence[Evidence]) -> Known:
    """One read of a kind for everything that the batch's mails speak of."""
    timeline = parts.timeline
    refs = {i for e in evidence for i in wanted_refs(e)} | {e.message_id for e in events}
    names = {n for e in evidence for n in wanted_names(e)}
    own_names = {n for e in evidence for n in e.names}
    strands = {s for e in evidence for s in wanted_strands(e)}
    return Known(
        refs=dict(await timeline.refs(refs)),
        named={n: list(r) for n, r in (await timeline.named(names)).items()} if names else {},
        mentioning={n: list(r) for n, r in (await timeline.mentioning(own_names)).items()} if own_names else {},
        strands=dict(await timeline.strands(strands)) if strands else {},
    )


class _Batch:
    """What is known, with the batch's own mails added one after the other, so that a reply finds its parent in the same batch."""

    def __init__(self, known: Known) -> None:
        self._refs = dict(known.refs)
        self._named = {n: list(r) for n, r in known.named.items()}
        self._mentioning = {n: list(r) for n, r in known.mentioning.items()}
        self._strands = known.strands

    def place(self, event: InboundEvent, evidence: Evidence) -> Placement:
        before = self._refs.get(event.message_id)
        known = Known(self._refs, self._named, self._mentioning, self._strands)
        placed = Placement(before.party, before.party_identity, ()) if before else place(event, evidence, known)
        if before is None:
            self._add(event, evidence, placed)
        return placed

    def _add(self, event: InboundEvent, evidence: Evidence, placed: Placement) -> None:
        ref = EntryRef(event.message_id, event.brand, placed.party, placed.identity, False, "inbound", None, None)
        self._refs[event.message_id] = ref
        for name in evidence.names:
            self._named.setdefault(name, []).append(ref)
        for name in evidence.references:
            self._mentioning.setdefault(name, []).append(ref)


def _with_author(event: InboundEvent, parts: Parts) -> InboundEvent:
    author = author_of(event, parts.policies)
    return event if author is event.author else event.model_copy(update={"author": author})


async def place_mails(parts: Parts, mails: Sequence[SizedEvent]) -> list[Message]:
    """Each mail with the contact that decides about it, as the standing claim says."""
    events = [_with_author(event, parts) for event, _ in mails]
    evidence = [gather(event, parts.signer) for event in events]
    batch = _Batch(await _known(parts, events, evidence))
    await failpoint("router.placing.after_read")
    placed = [batch.place(event, found) for event, found in zip(events, evidence, strict=True)]
    mentions = [mentioned_names(found) for found in evidence]
    claims = {
        event.message_id: Claim.of_valid(
            message_id=event.message_id,
            brand=event.brand,
            party=where.party,
            party_identity=where.identity,
            names=found.names,
            mentions=mentioned,
            why=where.why,
        )
        for event, found, where, mentioned in reversed(list(zip(events, evidence, placed, mentions, strict=True)))
    }
    standing = await parts.timeline.claim(list(reversed(claims.values())))
    await failpoint("router.placing.after_claim")
    return [
        _message(event, standing[event.message_id], mentioned, size)
        for event, mentioned, (_, size) in zip(events, mentions, mails, strict=True)
    ]


def _message(event: InboundEvent, claim: EntryRef, mentions: tuple[str, ...], size: int) -> Message:
    return Message(event, claim.party, claim.party_identity, mentions, claim.why, size)
