"""A person has one open conversation: while there are two, the newer joins the older.

Every round reads afresh, and the last finds nothing to do. Not here: storing a change of a strand (`changing`).
"""

from collections.abc import Iterable, Mapping

from threadline_runtime.failpoints import failpoint

from router.changing import Change, Changed
from router.domain.documents import Strand
from router.domain.strands import open_conversations
from router.parts import Parts, rounds
from router.people import open_readings

__all__ = ["align"]


async def _join_newest(strands: Mapping[str, Strand], change: Change) -> None:
    """The newest open conversation joins the oldest, if it still joins what was read."""
    found = open_conversations(strands)
    older, newest = found[0], strands[found[-1]]
    was = newest.joins

    def join(strand: Strand) -> Changed | None:
        if strand.joins != was:
            return None
        # The case it leaves is derived, too.
        return Changed(strand.model_copy(update={"joins": older}), (was,) if was else ())

    await change(newest.owner, newest.strand_id, join)


async def align(parts: Parts, change: Change, contact_ids: Iterable[str]) -> None:
    """Align the people of these contacts; one read for all where there is nothing to do."""
    todo = frozenset(contact_ids)
    for _ in rounds("aligning conversations"):
        read = await open_readings(parts.timeline, todo)
        todo = frozenset(c for c, strands in read.items() if len(open_conversations(strands)) > 1)
        if not todo:
            return
        for contact_id in sorted(todo):
            await failpoint("router.aligning.before_join")
            await _join_newest(read[contact_id], change)
