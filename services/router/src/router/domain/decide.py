"""The decisions of a contact: pure functions on its document that change a draft, stored later by one compare-and-set.

A draft gathers what a whole batch decides about one contact. Not here: which contact decides (`threading`), reading and storing
(`router.pipeline`), decisions of edges (`edges`), commands (`commanding`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from threadline_events.evidence import weaker
from threadline_events.ids import strand_id

from router.domain.documents import Amend, Attend, Close, Contact, EntryDocument, OutboxItem, Strand, Why
from router.domain.loops import is_looping, remember
from router.domain.messages import Message, entry_of
from router.domain.policy import BrandPolicy

__all__ = ["Draft", "decide_message", "new_contact"]

_TICK = timedelta(milliseconds=1)
_ACTIVE = Why(rule="active strand", decided=True)


@dataclass(slots=True)
class Draft:
    """A contact's document while a batch decides about it, and the effects so far."""

    contact: Contact
    expected: int
    entries: list[EntryDocument] = field(default_factory=list)
    strands: dict[str, Strand] = field(default_factory=dict)
    derive: dict[str, None] = field(default_factory=dict)
    align: bool = False
    close: Close | None = None
    attend: Attend | None = None
    amend: Amend | None = None

    @property
    def decided(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.entries or self.strands)

    def held(self, strand: str) -> Strand | None:
        """A strand as its contact knows it; None where the contact no longer holds it."""
        return next((s for s in (self.contact.active, self.contact.last) if s is not None and s.strand_id == strand), None)

    def keep(self, strand: Strand, *, resolved_now: bool = False) -> None:
        """Put a changed strand back into the document, at a version of its own, and tell the rest."""
        if strand.strand_id not in self.strands:
            strand = strand.model_copy(update={"version": strand.version + 1})
        active, last = self.contact.active, self.contact.last
        if active is not None and active.strand_id == strand.strand_id:
            active = None
        held_last = last is not None and last.strand_id == strand.strand_id
        if held_last:
            last = None
        if strand.status == "open":
            active = strand
        elif resolved_now or held_last or last is None:
            last = strand
        self.contact = self.contact.model_copy(update={"active": active, "last": last})
        self.strands[strand.strand_id] = strand
        self.derive[strand.strand_id] = None

    def document(self) -> Contact:
        """The document to store."""
        return self.contact.model_copy(update={"version": self.expected + 1})

    def item(self, at: datetime) -> OutboxItem:
        """The decisions as one item of the outbox."""
        return OutboxItem.of_valid(
            number=self.expected + 1,
            at=at,
            close=self.close,
            attend=self.attend,
            amend=self.amend,
            entries=tuple(self.entries),
            strands=tuple(self.strands.values()),
            align=(self.contact.contact_id,) if self.align else (),
            derive=tuple(self.derive),
            rederive=(),
        )


def new_contact(contact_id: str, brand: str, identity: str) -> Contact:
    """A contact before its first decision."""
    return Contact(contact_id=contact_id, brand=brand, identity=identity)


def _reopened(last: Strand | None, at: datetime, policy: BrandPolicy) -> Strand | None:
    """The last strand opened again, where the brand's policy still allows it."""
    if last is None or not policy.reopen_within or at - (last.resolved_at or last.last_activity_at) > policy.reopen_within:
        return None
    return last.model_copy(update={"status": "open", "resolved_at": None})


def _opened(draft: Draft, message: Message, at: datetime, others: Iterable[Strand]) -> Strand:
    """A new strand, opened later than any of the person that was seen."""
    contact = draft.contact
    seen = [s.opened_at for s in (*others, contact.active, contact.last) if s is not None]
    return Strand(
        strand_id=strand_id(message.message_id),
        brand=contact.brand,
        owner=contact.contact_id,
        owner_identity=contact.identity,
        version=0,
        status="open",
        opened_at=max([at, *(moment + _TICK for moment in seen)]),
        inbound_seq=0,
        previous=contact.last.strand_id if contact.last else None,
        subject=message.event.subject,
        last_activity_at=at,
    )


def _learn(contact: Contact, message: Message) -> dict[str, object]:
    """What a message tells about its author, where that is this contact."""
    author = message.event.author
    if author.identity != contact.identity:
        return {}
    known: dict[str, object] = {"display_name": author.display_name or contact.display_name}
    if weaker(author.evidence, contact.evidence) is contact.evidence:
        known["evidence"] = author.evidence
    return known


def decide_message(draft: Draft, message: Message, policy: BrandPolicy, others: Iterable[Strand]) -> None:
    """File a message of this contact's case: in the active strand, else by the brand's policy. `others`: the person's strands."""
    event, contact = message.event, draft.contact
    at = event.received_at or event.occurred_at
    body = message.body
    looping = not message.automatic and is_looping(contact.recent, at, body)
    if message.automatic or looping:
        why = Why(rule="loop: too many near-equal messages" if looping else "automatic: neither opens nor reopens", decided=True)
        strand = contact.active.strand_id if contact.active else None
        draft.contact = contact.model_copy(update=_learn(contact, message))
        draft.entries.append(entry_of(message, strand_id=strand, inbound_seq=None, why=(why,)))
        return
    active, why = contact.active, _ACTIVE
    if active is None:
        draft.align = True
        active = _reopened(contact.last, at, policy)
        why = Why(rule="reopened the last strand", saw=f"within {policy.reopen_within.days} days", decided=True)
    if active is None:
        active = _opened(draft, message, at, others)
        why = Why(rule="opened a new strand", saw=f"previous {active.previous}" if active.previous else "", decided=True)
    seq = active.inbound_seq + 1
    changed = active.model_copy(
        update={
            "inbound_seq": seq,
            "last_activity_at": max(active.last_activity_at, at),
            "channels": active.channels if event.channel in active.channels else (*active.channels, event.channel),
        }
    )
    learnt = _learn(contact, message) | {"recent": remember(contact.recent, at, body)}
    draft.contact = contact.model_copy(update=learnt)
    draft.keep(changed)
    draft.entries.append(entry_of(message, strand_id=changed.strand_id, inbound_seq=seq, why=(why,)))
