"""Which changes a stream shows: those of the key's brands, and of one conversation where it was asked for.

A conversation's strands may grow while it is watched, so the filter learns from what passes.
"""

from collections.abc import Iterable

from threadline_events.timeline import AnyTimelineChange, ConversationChanged, EntryChanged
from threadline_runtime.bus.port import Received

from router.api.keys import ApiKey

__all__ = ["Filter"]


class Filter:
    """What one stream may and wants to see."""

    def __init__(self, key: ApiKey, *, brand: str | None = None, conversation_id: str | None = None, strands: Iterable[str] = ()) -> None:
        self._key = key
        self._brand = brand
        self._conversation = conversation_id
        self._strands = set(strands)

    def may_pass(self, record: Received) -> bool:
        """What the headers alone say, so that other brands' changes need not be read."""
        brand = record.headers.get("ce_brand")
        return brand is None or self._is_for(brand.decode("utf-8", "replace"))

    def _is_for(self, brand: str) -> bool:
        return self._key.sees(brand) and self._brand in {None, brand}

    def passes(self, change: AnyTimelineChange) -> bool:
        """Whether the change belongs to the stream. Refused commands are kept, not shown."""
        brand = change.entry.brand if isinstance(change, EntryChanged) else change.conversation.brand
        if not self._is_for(brand):
            return False
        if isinstance(change, EntryChanged):
            return change.entry.state != "refused" and self._is_here(change.entry.strand_id, change.entry.conversation_id)
        return self._learns(change)

    def _is_here(self, strand_id: str | None, conversation_id: str | None) -> bool:
        return self._conversation is None or conversation_id == self._conversation or strand_id in self._strands

    def _learns(self, change: ConversationChanged) -> bool:
        talk = change.conversation
        if self._conversation is None:
            return True
        if talk.conversation_id == self._conversation:
            self._strands = {one.strand_id for one in talk.strands}
            return True
        if talk.joined == self._conversation:
            self._strands.add(talk.conversation_id)
            return True
        was_here = talk.conversation_id in self._strands
        self._strands.discard(talk.conversation_id)
        return was_here
