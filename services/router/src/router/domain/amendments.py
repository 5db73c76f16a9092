"""What edits, deletions, reactions, receipts, deliveries and fetched attachments make of an entry, in whatever order they come.

Each function returns the changed entry, or None where nothing differs: the highest revision shows, a deletion wins, the newest reaction
of a slot stands, states only rise within an attempt.
"""

from collections.abc import Callable

from threadline_events.deliveries import DeliveryUpdated
from threadline_events.inbound import InboundEvent, Receipt
from threadline_events.keys import target_key
from threadline_events.states import DeliveryRank, call_rank, receipt_rank

from router.domain.documents import Attempt, Edit, EntryDocument, ReactionSlot, Try
from router.domain.messages import intake_of

__all__ = ["amend_by_delivery", "amend_by_event", "confirm", "retry", "target_of"]


def target_of(event: InboundEvent) -> str | None:
    """The external id of the message that the event changes; None where it names none."""
    relates = event.relates_to
    if event.kind == "receipt.received":
        return relates.receipt.of if relates.receipt else None
    return relates.edits or relates.deletes or relates.reacts_to or event.external_id


def _edited(entry: EntryDocument, event: InboundEvent, _: int | None) -> EntryDocument | None:
    revision = event.revision or 0
    if any(e.revision == revision for e in entry.edits):
        return None
    edit = Edit(
        revision=revision,
        at=event.occurred_at,
        text=event.text,
        reply_text=event.reply_text,
        parts=event.parts,
        attachments=event.attachments,
        made=intake_of(event),
    )
    return entry.model_copy(update={"edits": tuple(sorted([*entry.edits, edit], key=lambda e: e.revision))})


def _deleted(entry: EntryDocument, event: InboundEvent, _: int | None) -> EntryDocument | None:
    if entry.deleted_at is not None and entry.deleted_at <= event.occurred_at:
        return None
    return entry.model_copy(update={"deleted_at": event.occurred_at})


def _reacted(entry: EntryDocument, event: InboundEvent, _: int | None) -> EntryDocument | None:
    reaction = event.relates_to.reaction
    if reaction is None:
        return None
    slot = ReactionSlot(actor=event.author.identity, emoji=reaction.emoji, on=reaction.on, at=event.occurred_at)
    others = [r for r in entry.reactions if (r.actor, r.emoji) != (slot.actor, slot.emoji)]
    standing = next((r for r in entry.reactions if r not in others), None)
    if standing is not None and (standing.at, standing.on) >= (slot.at, slot.on):
        return None
    return entry.model_copy(update={"reactions": tuple(sorted([*others, slot], key=lambda r: (r.at, r.actor, r.emoji)))})


def _attached(entry: EntryDocument, event: InboundEvent, _: int | None) -> EntryDocument | None:
    fetched = {a.source_url: a for a in event.attachments if a.source_url}
    now = tuple(fetched.get(a.source_url, a) if a.source_url else a for a in entry.attachments)
    return entry.model_copy(update={"attachments": now}) if now != entry.attachments else None


def _raised(attempt: Attempt, rank: DeliveryRank, reason: str | None) -> Attempt:
    return attempt.model_copy(update={"rank": rank, "reason": reason}) if rank > attempt.rank else attempt


def _with_attempt(entry: EntryDocument, changed: Attempt) -> EntryDocument | None:
    attempts = tuple(changed if a.number == changed.number else a for a in entry.attempts)
    return entry.model_copy(update={"attempts": attempts}) if attempts != entry.attempts else None


def _attempt_of_receipt(entry: EntryDocument, receipt: Receipt, number: int | None) -> Attempt | None:
    """The attempt a receipt speaks of: the one its signed name tells, else the one with that external id, else the last."""
    named = [a for a in entry.attempts if a.number == number or (number is None and receipt.of in a.external_ids)]
    return (named or list(entry.attempts))[-1] if entry.attempts else None


def _receipted(entry: EntryDocument, event: InboundEvent, number: int | None) -> EntryDocument | None:
    receipt = event.relates_to.receipt
    attempt = _attempt_of_receipt(entry, receipt, number) if receipt else None
    if receipt is None or attempt is None:
        return None
    reason = receipt.reason or receipt.code if receipt.status == "failed" else None
    return _with_attempt(entry, _raised(attempt, receipt_rank(receipt.status), reason))


_BY_KIND: dict[str, Callable[[EntryDocument, InboundEvent, int | None], EntryDocument | None]] = {
    "message.edited": _edited,
    "message.deleted": _deleted,
    "reaction.changed": _reacted,
    "receipt.received": _receipted,
    "attachment.changed": _attached,
}


def amend_by_event(entry: EntryDocument, event: InboundEvent, attempt: int | None) -> EntryDocument | None:
    """The entry after the event. `attempt`: which attempt a receipt's signed name told, if any."""
    return _BY_KIND[event.kind](entry, event, attempt)


def amend_by_delivery(entry: EntryDocument, report: DeliveryUpdated) -> EntryDocument | None:
    """The entry after a sender's report: the try is kept, the state rises, external ids are learned."""
    attempt = next((a for a in entry.attempts if a.number == report.attempt), None)
    if attempt is None:
        return None
    rank = call_rank(report.state)
    told = Try(
        number=report.try_,
        state=report.state,
        code=report.code,
        class_=report.class_,
        reason=report.reason,
        started_at=report.started_at,
        ended_at=report.ended_at,
    )
    before = next((t for t in attempt.tries if t.number == told.number), None)
    if before is None or call_rank(before.state) < rank:
        tries = sorted([*(t for t in attempt.tries if t.number != told.number), told], key=lambda t: t.number)
        attempt = attempt.model_copy(update={"tries": tuple(tries)})
    learned = tuple(dict.fromkeys([*attempt.external_ids, *report.external_ids]))
    attempt = _raised(attempt.model_copy(update={"external_ids": learned}), rank, report.reason)
    names = [target_key(entry.channel, report.account_id, entry.brand, one) for one in report.external_ids]
    changed = _with_attempt(entry, attempt)
    return changed.model_copy(update={"names": tuple(dict.fromkeys([*entry.names, *names]))}) if changed else None


_REPEATABLE = {DeliveryRank.FAILED_CALL, DeliveryRank.FAILED_RECEIPT, DeliveryRank.UNCERTAIN}


def retry(entry: EntryDocument, attempt: Attempt, names: tuple[str, ...]) -> EntryDocument | None:
    """The entry with a next attempt; None where the last one neither failed nor is uncertain."""
    last = entry.attempts[-1] if entry.attempts else None
    if last is None or last.rank not in _REPEATABLE or last.number + 1 != attempt.number:
        return None
    return entry.model_copy(update={"attempts": (*entry.attempts, attempt), "names": (*entry.names, *names)})


def confirm(entry: EntryDocument, number: int) -> EntryDocument | None:
    """The entry with its uncertain attempt recorded as sent; None where it is not uncertain."""
    last = entry.attempts[-1] if entry.attempts else None
    if last is None or last.number != number or last.rank is not DeliveryRank.UNCERTAIN:
        return None
    return _with_attempt(entry, _raised(last, DeliveryRank.SENT, "confirmed by a person"))
