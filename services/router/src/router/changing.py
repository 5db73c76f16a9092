"""One change of a strand in its contact's document, made on behalf of another document's decision (a join, a close, an assignee).

A strand that its contact no longer holds is taken from its copy; the compare-and-set on the contact guards it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from threadline_runtime.failpoints import failpoint

from router.domain.decide import Draft
from router.domain.documents import Strand
from router.parts import Parts, rounds
from router.store.port import ContactChange, Stored

__all__ = ["Alter", "Change", "Changed", "Changer", "current_strand"]


@dataclass(frozen=True, slots=True)
class Changed:
    """The strand as it should be, other strands whose summaries change by it, and whether it was resolved by this."""

    strand: Strand
    derive: tuple[str, ...] = ()
    resolved_now: bool = False


Alter = Callable[[Strand], Changed | None]
Change = Callable[[str, str, Alter], Awaitable[bool]]
CarryCopies = Callable[[Stored], Awaitable[None]]
CarryOwn = Callable[[str, Stored], Awaitable[None]]


def current_strand(stored: Stored, copy: Strand | None, strand_id: str) -> Strand | None:
    """The newest version of a strand: as its contact holds it, as its outbox owes it, or the copy (read after the document)."""
    contact = stored.contact
    owed = [s for item in stored.outbox for s in item.strands if s.strand_id == strand_id]
    held = [s for s in (contact.active, contact.last) if s is not None and s.strand_id == strand_id]
    return max([*held, *owed, *([copy] if copy else [])], key=lambda s: s.version, default=None)


class Changer:
    """Makes such changes. `carry_copies` files entries and strand copies that an outbox owes; `carry_own` carries out a new item."""

    def __init__(self, parts: Parts, carry_copies: CarryCopies, carry_own: CarryOwn) -> None:
        self._parts = parts
        self._carry_copies = carry_copies
        self._carry_own = carry_own

    async def change(self, owner: str, strand_id: str, alter: Alter) -> bool:
        """Alter the strand in its contact's document; False where there is none or `alter` no longer wants to."""
        for _ in rounds("changing a strand"):
            stored = (await self._parts.timeline.contacts([owner])).get(owner)
            if stored is None:
                return False
            if any(s.strand_id == strand_id for item in stored.outbox for s in item.strands):
                # What the strand counts must be filed before a newer state of it shows; and who asks read an old copy.
                await self._carry_copies(stored)
            copy = (await self._parts.timeline.strands([strand_id])).get(strand_id)
            strand = current_strand(stored, copy, strand_id)
            changed = alter(strand) if strand is not None else None
            if changed is None:
                return False
            draft = Draft(stored.contact, stored.contact.version)
            draft.keep(changed.strand, resolved_now=changed.resolved_now)
            draft.derive |= dict.fromkeys(changed.derive)
            item = draft.item(self._parts.clock())
            await failpoint("router.changing.before_compare_and_set")
            document = draft.document()
            if owner in await self._parts.timeline.commit_contacts([ContactChange(stored.contact.version, document, item)]):
                await failpoint("router.changing.after_compare_and_set")
                await self._carry_own(owner, Stored(document, (item,)))
                return True
        return False
