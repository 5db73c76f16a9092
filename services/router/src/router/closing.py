"""Steps of an outbox that reach into other documents before their command is answered: close a conversation, set what stands in its own
strand, send again or confirm. Each gives the command's result.

Each may run twice, late, or beside itself: what it changes is filtered on what it may change.
"""

from threadline_events.records import outbound_record, timeline_record
from threadline_events.states import DeliveryRank
from threadline_runtime.failpoints import failpoint

from router.changing import Change, Changed
from router.domain.amendments import confirm, retry
from router.domain.documents import Amend, Attempt, Attend, Close, EntryDocument, Strand
from router.domain.edges import DONE
from router.domain.strands import conversation_of, root
from router.domain.views import entry_changed
from router.parts import Parts, rounds
from router.people import cases

__all__ = ["amend", "attend", "close"]


async def close(parts: Parts, change: Change, step: Close, party: str) -> str:
    """Resolve each strand where it is open and not above what the agent read; then look whether one is open still."""
    for part in sorted(step.parts, key=lambda p: p.strand_id):

        def resolve(strand: Strand, as_of: int = part.as_of) -> Changed | None:
            if strand.status != "open" or strand.inbound_seq > as_of:
                return None
            return Changed(strand.model_copy(update={"status": "resolved", "resolved_at": step.at}), resolved_now=True)

        await change(part.owner, part.strand_id, resolve)
        await failpoint("router.closing.after_strand")
    strands = (await cases(parts.timeline, {step.conversation_id: party}))[step.conversation_id]
    if step.conversation_id not in strands:
        return DONE
    case = conversation_of(strands, root(strands, step.conversation_id))
    return "refused:newer_message" if any(s.status == "open" for s in case.values()) else DONE


def _attended(strand: Strand, step: Attend) -> Changed | None:
    if step.what == "assign":
        if strand.assigned is not None and not strand.assigned.before(step.mark):
            return None
        return Changed(strand.model_copy(update={"assignee": step.assignee, "assigned": step.mark}))
    if strand.snoozed is not None and not strand.snoozed.before(step.mark):
        return None
    update = {"snoozed_until": step.snoozed_until, "snoozed_seqs": step.read, "snoozed": step.mark}
    return Changed(strand.model_copy(update=update))


async def attend(parts: Parts, change: Change, step: Attend, party: str) -> str:
    """Set it in the conversation's own strand as it is read now, and again where that has joined another meanwhile; the latest stands."""
    before = None
    for _ in rounds("setting what stands in a conversation"):
        strands = (await cases(parts.timeline, {step.conversation_id: party}))[step.conversation_id]
        if step.conversation_id not in strands:
            return "refused:not_found"
        own = root(strands, step.conversation_id)
        if own == before:
            break
        before = own
        await change(strands[own].owner, own, lambda strand: _attended(strand, step))
        await failpoint("router.closing.after_attended")
    return DONE


async def _changed_entry(parts: Parts, step: Amend) -> EntryDocument | str:
    """The entry with the step made on it (now or before), else why not."""
    for _ in rounds("amending a sent message"):
        entry = (await parts.timeline.entries([step.message_id])).get(step.message_id)
        if entry is None:
            return "refused:not_found"
        if any(a.command_id == step.command_id for a in entry.attempts) or _confirmed(entry, step):
            return entry
        after = _amended(entry, step)
        if after is None:
            return f"refused:not_{'failed' if step.what == 'retry' else 'uncertain'}"
        stored = after.model_copy(update={"version": entry.version + 1})
        if await parts.timeline.update_entries([stored]):
            return stored
    raise AssertionError("rounds end by themselves")


async def amend(parts: Parts, step: Amend) -> str:
    """Store the next attempt, or the confirmation, where the state still allows it; publish what is stored."""
    entry = await _changed_entry(parts, step)
    if isinstance(entry, str):
        return entry
    await failpoint("router.closing.after_amend")
    await parts.bus.publish([timeline_record(entry_changed(entry))])
    if step.outbound is not None:
        await failpoint("router.closing.before_outbound")
        await parts.bus.publish([outbound_record(step.outbound)])
    return DONE


def _confirmed(entry: EntryDocument, step: Amend) -> bool:
    """Whether a confirmation already stands (it runs twice after a crash)."""
    last = entry.attempts[-1] if entry.attempts else None
    return step.what == "confirm" and last is not None and last.number == step.attempt and last.reason == "confirmed by a person"


def _amended(entry: EntryDocument, step: Amend) -> EntryDocument | None:
    if step.outbound is None:
        return confirm(entry, step.attempt)
    queued = Attempt(number=step.outbound.attempt, rank=DeliveryRank.QUEUED, command_id=step.command_id, queued_at=step.outbound.queued_at)
    return retry(entry, queued, step.names)
