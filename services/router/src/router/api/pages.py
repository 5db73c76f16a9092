"""Keyset pages over HTTP: how many, from where, and the cursor behind the last item."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from fastapi import Query
from threadline_events.timeline import Conversation, Entry

from router.api.cursors import MAX_LENGTH, decode_cursor, encode_cursor, read_time
from router.api.reading import Place, Walk

__all__ = ["After", "Limit", "Order", "activity_cursor", "activity_place", "cut", "entry_cursor", "walk_of"]

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
After = Annotated[str | None, Query(max_length=MAX_LENGTH, description="The `next` of the page before.")]
Order = Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")]


def cut(items: Sequence[T], limit: int, cursor: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """A page of `limit` from one item more, and the cursor of the next page if there is one."""
    if len(items) <= limit:
        return items, None
    return items[:limit], cursor(items[limit - 1])


def activity_place(after: str | None) -> tuple[datetime, str] | None:
    """The place in the list of conversations that a cursor names."""
    if after is None:
        return None
    moment, conversation_id = decode_cursor("conversations", after, 2)
    return read_time(moment), conversation_id


def activity_cursor(conversation: Conversation) -> str:
    """The cursor behind a conversation."""
    return encode_cursor("conversations", conversation.last_activity_at, conversation.conversation_id)


def walk_of(order: str, after: str | None, limit: int) -> Walk:
    """The page of a timeline that is asked for, one item longer."""
    place: Place | None = None
    if after is not None:
        moment, rank, message_id = decode_cursor("timeline." + order, after, 3)
        place = (read_time(moment), rank, message_id)
    return Walk(after=place, descending=order == "desc", limit=limit + 1)


def entry_cursor(order: str) -> Callable[[Entry], str]:
    """The cursor behind an entry, of a timeline read in that order."""
    return lambda entry: encode_cursor("timeline." + order, entry.occurred_at, entry.order, entry.message_id)
