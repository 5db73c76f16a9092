"""What adapters keep beside an entry to find it by, and how they count it. Not here: where it is kept."""

from datetime import UTC, datetime

from threadline_events.states import DeliveryRank

from router.domain.documents import EntryDocument
from router.domain.views import shown_words

__all__ = ["answerable_until", "attachment_hashes", "holds", "standing"]

_NO_END = datetime(9999, 1, 1, tzinfo=UTC)


def answerable_until(entry: EntryDocument) -> datetime | None:
    """Until when it can be answered by default: only what the strand's own contact wrote, and only where there is an address."""
    if entry.direction != "inbound" or entry.reply_address is None or entry.author.identity != entry.party_identity:
        return None
    return entry.reply_window_ends_at or _NO_END


def attachment_hashes(entry: EntryDocument) -> list[str]:
    """The files that it names, itself or in an edit."""
    files = (*entry.attachments, *(file for edit in entry.edits for file in edit.attachments))
    return list(dict.fromkeys(file.sha256 for file in files if file.sha256))


def holds(entry: EntryDocument, wanted: str) -> bool:
    """Whether what shows of its subject, text or author holds the words, which are casefolded: nothing deleted, edits as they stand."""
    texts = (*shown_words(entry), entry.author.identity, entry.author.display_name)
    return any(wanted in text.casefold() for text in texts if text)


def standing(rank: DeliveryRank) -> str:
    """The figure of `SentCounts` in which what we sent is counted."""
    if rank in {DeliveryRank.QUEUED, DeliveryRank.SENDING}:
        return "in_flight"
    if rank in {DeliveryRank.SENT, DeliveryRank.DELIVERED, DeliveryRank.READ}:
        return "sent"
    return rank.state
