"""Summaries, derived again from strands and published: of the strands given, and of what they join, up to the conversation.

The version is read before the sources and raised even where nothing differs, so an older derivation in flight misses.
"""

from collections.abc import Iterable, Mapping

from threadline_events.records import timeline_record
from threadline_events.timeline import Conversation
from threadline_runtime.failpoints import failpoint

from router.domain.strands import summary
from router.domain.views import conversation_changed
from router.parts import Parts, rounds
from router.people import cases, readings
from router.store.port import SummaryHead

__all__ = ["derive", "rederive"]


async def _derive_once(parts: Parts, strand_ids: frozenset[str]) -> tuple[list[Conversation], frozenset[str]]:
    """One round: the summaries written, and the strands that somebody else was quicker with."""
    heads = await parts.timeline.summary_heads(strand_ids)
    await failpoint("router.deriving.after_versions")
    owners = await _owners(parts, strand_ids, heads)
    read = await cases(parts.timeline, owners)
    at = parts.clock()
    wanted = [summary(read[i], i, heads[i].version + 1 if i in heads else 1, at) for i in owners if i in read[i]]
    await failpoint("router.deriving.before_write")
    won = await parts.timeline.write_summaries(wanted)
    return [c for c in wanted if c.conversation_id in won], frozenset(c.conversation_id for c in wanted) - won


async def _owners(parts: Parts, strand_ids: frozenset[str], heads: Mapping[str, SummaryHead]) -> dict[str, str]:
    """Whose each strand is. That never changes, so a summary that there is tells it as well as the strand."""
    owners = {i: owner for i, head in heads.items() if (owner := head.contact_id) is not None}
    fresh = strand_ids - owners.keys()
    if fresh:
        owners |= {i: strand.owner for i, strand in (await parts.timeline.strands(fresh)).items()}
    return owners


async def derive(parts: Parts, strand_ids: Iterable[str]) -> None:
    """Derive and publish the summaries of these strands and of those they join."""
    todo = frozenset(strand_ids)
    for _ in rounds("deriving summaries"):
        if not todo:
            return
        written, lost = await _derive_once(parts, todo)
        await failpoint("router.deriving.after_write")
        if written:
            await parts.bus.publish([timeline_record(conversation_changed(c)) for c in written])
            await failpoint("router.deriving.after_publish")
        todo = lost | {c.joined for c in written if c.joined is not None}


async def rederive(parts: Parts, contact_ids: Iterable[str]) -> None:
    """After a link or unlink: every strand of these people that has `joins`, and the one it names; each may count now, or no longer."""
    read = await readings(parts.timeline, contact_ids)
    joining = [s for strands in read.values() for s in strands.values() if s.joins is not None]
    await derive(parts, {i for s in joining for i in (s.strand_id, s.joins) if i is not None})
