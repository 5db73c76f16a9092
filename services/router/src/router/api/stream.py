"""`GET /v1/stream`: timeline changes as server-sent events, resumed by Last-Event-ID on any replica.

Nothing is buffered for a client: it reads the shared ring at its own pace, and one that falls out of it, or takes nothing for a
while, is ended and comes back with its position.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from threadline_events import topics
from threadline_events.timeline import AnyTimelineChange, EntryChanged
from threadline_runtime.errors import PositionExpired, TransientError

from router.api.access import PartsOf, ReaderKey, ReadingFor, key_of
from router.api.feed import FeedClosed, FeedLagged
from router.api.keys import ApiKey
from router.api.parts import ApiParts
from router.api.positions import Vector, VectorError
from router.api.presenting import safe
from router.api.problems import Problem, not_found
from router.api.visible import Filter

__all__ = ["EventStream", "Streams", "events", "router"]

router = APIRouter(prefix="/v1", tags=["stream"])
_STALLED = 30.0
_LOOKED_AT_EVERY = timedelta(seconds=5)


class EventStream(Response):
    """Sends what `frames` yields until it ends, the client goes, or the client takes nothing for half a minute."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes], *, stalled: float = _STALLED) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._stalled = stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send_all(send))
        going = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, going}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, going):
                task.cancel()
            await asyncio.gather(sending, going, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        async for frame in self._frames:
            async with asyncio.timeout(self._stalled):
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _frame(name: str, place: Vector, data: bytes = b"{}") -> bytes:
    return b"id: " + place.spell().encode() + b"\nevent: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _shown(change: AnyTimelineChange) -> bytes:
    if isinstance(change, EntryChanged):
        change = change.model_copy(update={"entry": safe(change.entry)})
    return change.to_json()


async def events(parts: ApiParts, wanted: Filter, place: Vector | None) -> AsyncIterator[bytes]:
    """The frames of one stream, from `place` or from now, those of changes that came together in one piece.

    An expired position answers `reset` and goes on from now.
    """
    yield b"retry: 2000\n\n"
    begun = place or parts.feed.end
    yield _frame("ready", begun)
    while True:
        try:
            async for frames in _followed(parts, wanted, begun):
                yield frames
        except PositionExpired:
            begun = parts.feed.end
            yield _frame("reset", begun)
        except (FeedLagged, FeedClosed, TransientError):
            return


async def _followed(parts: ApiParts, wanted: Filter, place: Vector) -> AsyncIterator[bytes]:
    """A frame a change that passes, and a sign of life wherever none was sent for a heartbeat, however much others' changes go by."""
    records = parts.feed.follow(place)
    following = asyncio.ensure_future(anext(records))
    clock = asyncio.get_running_loop().time
    sent, told = clock(), place
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=max(0.0, sent + parts.heartbeat_seconds - clock()))
            frames: list[bytes] = []
            if done:
                for record in following.result():
                    place = place.after(record.position)
                    change = parts.feed.change_in(record) if wanted.may_pass(record) else None
                    if change is not None and wanted.passes(change):
                        frames.append(_frame(change.type, place, _shown(change)))
                        told = place
                following = asyncio.ensure_future(anext(records))
            if frames:
                yield b"".join(frames)
                sent = clock()
            elif clock() >= sent + parts.heartbeat_seconds:
                # the id moves with the heartbeat too, so that a stream that sees little still resumes close by
                yield b": \n\n" if place == told else _frame("ready", place)
                sent, told = clock(), place
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await records.aclose()


class Streams:
    """How many streams each key has open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    async def counted(self, key: ApiKey, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Count the stream while it lasts."""
        self._open[key.key_id] += 1
        try:
            async for frame in frames:
                yield frame
        finally:
            self._open[key.key_id] -= 1

    def admit(self, key: ApiKey) -> None:
        """Raise Problem 429 where the key has too many open."""
        if self._open[key.key_id] >= self._most:
            raise Problem(429, "too_many_streams", f"This key has {self._most} streams open: close one.", {"Retry-After": "5"})


async def while_valid(parts: ApiParts, secret: str, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """End the stream once its key is revoked: looked at with each heartbeat, and every few seconds of a busy stream."""
    looked = parts.now()
    async for frame in frames:
        if frame.startswith(b":") or parts.now() - looked >= _LOOKED_AT_EVERY:
            if await key_of(parts, secret) is None:
                return
            looked = parts.now()
        yield frame


@router.get(
    "/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "`entry.changed`, `conversation.changed`, `ready`, `reset`"}},
)
async def get_stream(
    request: Request,
    parts: PartsOf,
    key: ReaderKey,
    reading: ReadingFor,
    conversation_id: Annotated[str | None, Query(max_length=64)] = None,
    brand: Annotated[str | None, Query(max_length=200)] = None,
    last_event_id: Annotated[str | None, Header(max_length=8192)] = None,
) -> Response:
    """Timeline changes as they happen. `version` tells repeats; after `reset` read again what you show."""
    strands: frozenset[str] = frozenset()
    if conversation_id is not None:
        conversation = await reading.conversation(conversation_id)
        if conversation is None:
            raise not_found("conversation")
        conversation_id, strands = conversation.conversation_id, frozenset(one.strand_id for one in conversation.strands)
    if brand is not None and not key.sees(brand):
        raise not_found("brand")
    if not parts.feed.begun:
        raise TransientError("the bus has not answered yet")
    streams: Streams = request.app.state.streams
    streams.admit(key)
    wanted = Filter(key, brand=brand, conversation_id=conversation_id, strands=strands)
    frames = events(parts, wanted, _place(last_event_id))
    secret = request.headers["authorization"].partition(" ")[2].strip()
    return EventStream(streams.counted(key, while_valid(parts, secret, frames)))


def _place(last_event_id: str | None) -> Vector | None:
    """The position a client comes back with; one that is not ours lies beyond any log, so it is answered by `reset`."""
    if not last_event_id:
        return None
    try:
        return Vector.parse(topics.TIMELINE, last_event_id)
    except VectorError:
        return Vector(topics.TIMELINE, {0: 2**62})
