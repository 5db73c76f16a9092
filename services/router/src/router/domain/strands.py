"""How strands read together as conversations: joins, open ones, `as_of`, and the derived summary.

Pure: all functions get the strands of one whole person. A join counts only while both strands are among them.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from threadline_events.timeline import Conversation, StrandView

from router.domain.documents import Strand

__all__ = [
    "Strands",
    "as_mapping",
    "conversation_of",
    "decode_as_of",
    "encode_as_of",
    "open_conversations",
    "root",
    "snooze_holds",
    "summary",
]

Strands = Mapping[str, Strand]
_MOST = 2**53


def as_mapping(strands: Iterable[Strand]) -> dict[str, Strand]:
    """Strands by id."""
    return {s.strand_id: s for s in strands}


def root(strands: Strands, strand_id: str) -> str:
    """The conversation that a strand reads in. Joins go to older strands only, so this ends."""
    while (joined := strands[strand_id].joins) is not None and joined in strands:
        strand_id = joined
    return strand_id


def conversation_of(strands: Strands, conversation_id: str) -> dict[str, Strand]:
    """The strands of a conversation, by id."""
    return {i: s for i, s in strands.items() if root(strands, i) == conversation_id}


def open_conversations(strands: Strands) -> list[str]:
    """Ids of conversations with an open strand, oldest first."""
    found = {root(strands, i) for i, s in strands.items() if s.status == "open"}
    return sorted(found, key=lambda i: strands[i].age)


def encode_as_of(strands: Iterable[Strand]) -> str:
    """The opaque text that says how far each strand of a conversation was read."""
    seqs = {s.strand_id: s.inbound_seq for s in strands}
    return base64.urlsafe_b64encode(json.dumps(seqs, sort_keys=True, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_as_of(text: str) -> dict[str, int]:
    """What `encode_as_of` wrote; raises ValueError for anything else."""
    try:
        read = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as error:
        raise ValueError("as_of is not what a conversation gave") from error
    if not isinstance(read, dict) or not all(type(v) is int and 0 <= v <= _MOST for v in read.values()):
        raise ValueError("as_of is not what a conversation gave")
    return read


def snooze_holds(own: Strand, strands: Iterable[Strand], at: datetime) -> bool:
    """Whether the snooze in a conversation's own strand still hides it: not yet its time, and nobody wrote since."""
    if own.snoozed_until is None or own.snoozed_until <= at:
        return False
    return all(s.inbound_seq <= own.snoozed_seqs.get(s.strand_id, -1) for s in strands)


def summary(strands: Strands, strand_id: str, version: int, at: datetime) -> Conversation:
    """The summary document of a strand: its conversation's, or the mark that it reads inside another's."""
    own = strands[strand_id]
    joined = own.joins if own.joins in strands else None
    mine = [own] if joined else sorted(conversation_of(strands, strand_id).values(), key=lambda s: s.age)
    is_open = any(s.status == "open" for s in mine)
    snoozed = is_open and not joined and snooze_holds(own, mine, at)
    return Conversation(
        conversation_id=strand_id,
        brand=own.brand,
        contact_id=own.owner,
        status="snoozed" if snoozed else "open" if is_open else "resolved",
        subject=next((s.subject for s in mine if s.subject), None),
        assignee=own.assignee,
        snoozed_until=own.snoozed_until if snoozed else None,
        opened_at=own.opened_at,
        last_activity_at=max(s.last_activity_at for s in mine),
        channels=tuple(sorted({c for s in mine for c in s.channels})),
        strands=tuple(StrandView(strand_id=s.strand_id, contact_id=s.owner, status=s.status) for s in mine),
        as_of=encode_as_of(mine),
        previous=own.previous,
        version=version,
        joined=joined,
    )
