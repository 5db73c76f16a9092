"""The stream shows every change of the key's brands, in order, and goes on from where a client was, on any replica."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from router.api.feed import FeedLagged, LiveFeed
from router.api.keys import ApiKey, Scope
from router.api.parts import ApiParts
from router.api.positions import Vector, VectorError
from router.api.stream import EventStream, events, while_valid
from router.api.testing import NOW, World
from router.api.visible import Filter
from router.domain.views import conversation_changed, entry_changed
from threadline_events import topics
from threadline_events.inbound import Part
from threadline_events.timeline import AnyTimelineChange, parse_timeline_change
from threadline_runtime.bus.port import Position, Received
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import PositionExpired, TransientError

MINUTE = timedelta(minutes=1)
Frame = tuple[str, str, dict[str, object]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path, heartbeat_seconds=0.05)
    yield world
    await world.close()


def key(*brands: str) -> ApiKey:
    return ApiKey("key_1", "Mia", frozenset({Scope.READ}), frozenset(brands) or None, NOW)


@asynccontextmanager
async def running(feed: LiveFeed) -> AsyncIterator[LiveFeed]:
    await feed.start()
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def read(frame: bytes) -> Frame:
    fields = dict(line.split(": ", 1) for line in frame.decode().strip().split("\n") if ": " in line)
    return fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "{}"))


async def take(parts: ApiParts, count: int, *, wanted: Filter, place: Vector | None = None) -> list[Frame]:
    """The next frames that are more than a sign of life."""
    taken: list[Frame] = []
    frames = events(parts, wanted, place)
    async with asyncio.timeout(10):
        async for piece in frames:
            taken += [one for one in map(read, piece.split(b"\n\n")) if one[0] not in {"", "ready"}]
            if len(taken) >= count:
                break
    await frames.aclose()  # type: ignore[attr-defined]
    return taken[:count]


async def all_seen(feed: LiveFeed, world: World) -> Vector:
    """The end of the topic, once the feed has seen all before it."""
    last = Vector.of(topics.TIMELINE, await world.bus.end([topics.TIMELINE]))
    async with asyncio.timeout(10):
        while not feed.end.covers(last):  # noqa: ASYNC110 - the feed has no reader here that could tell
            await asyncio.sleep(0)
    return last


async def two_brands(world: World) -> dict[str, str]:
    strands: dict[str, str] = {}
    for brand in ("globex", "acme", "globex", "acme"):
        contact = await world.contact(f"email:ann{len(strands)}@x.example", "Ann", brand=brand)
        strand = await world.strand(contact, f"of {brand}", "email", NOW)
        strands[strand.strand_id] = brand
        await world.message(strand, f"text of {brand}", NOW)
    return strands


async def rest_of(moments: AsyncIterator[Sequence[Received]]) -> None:
    async with asyncio.timeout(10):
        async for _ in moments:
            pass


async def test_changes_that_came_together_are_sent_together(world: World) -> None:
    """A burst costs one packet a stream, and readers that ask for what it told ask together."""
    async with running(world.parts.feed):
        start = world.parts.feed.end
        strand = await world.strand(await world.contact("email:ann@x.example", "Ann"), "Lamp", "email", NOW)
        for number in range(60):
            await world.message(strand, f"m{number}", NOW + number * MINUTE)
        await all_seen(world.parts.feed, world)
        frames = events(world.parts, Filter(key()), start)
        begun = [await anext(frames) for _ in range(2)]
        pieces = [await anext(frames) for _ in range(8)]
        await frames.aclose()  # type: ignore[attr-defined]
    assert [piece.count(b"event: ") for piece in (*begun, *pieces)] == [0, 1, *[16] * 7, 9]


async def test_a_position_behind_what_is_not_shown_is_told_with_the_next_sign_of_life(world: World) -> None:
    """Else who comes back is sent others' changes once more, or none, where they are trimmed by then."""
    async with running(world.parts.feed), asyncio.timeout(10):
        start = world.parts.feed.end
        for brand in ("acme", "globex"):
            contact = await world.contact("email:ann@x.example", "Ann", brand=brand)
            await world.message(await world.strand(contact, "Lamp", "email", NOW), "Hi", NOW)
        last = await all_seen(world.parts.feed, world)
        frames = events(world.parts, Filter(key("acme")), start)
        pieces = [await anext(frames) for _ in range(4)]
        await frames.aclose()  # type: ignore[attr-defined]
    name, place, _ = read(pieces[-1])
    assert (name, Vector.parse(topics.TIMELINE, place)) == ("ready", last)


def texts(frames: list[Frame]) -> list[object]:
    return [data["entry"]["text"] for name, _, data in frames if name == "entry.changed"]  # type: ignore[index]


async def test_a_stream_shows_only_the_brands_of_its_key(world: World) -> None:
    async with running(world.parts.feed):
        start = world.parts.feed.end
        await two_brands(world)
        mine = await take(world.parts, 6, wanted=Filter(key("acme")), place=start)
        assert texts(mine) == ["text of acme"] * 2
        brands = {(data.get("entry") or data.get("conversation"))["brand"] for _, _, data in mine}  # type: ignore[index]
        assert brands == {"acme"}
        other = await take(world.parts, 6, wanted=Filter(key(), brand="globex"), place=start)
        assert texts(other) == ["text of globex"] * 2


async def test_a_client_goes_on_where_it_was_and_misses_nothing(world: World) -> None:
    """Live, from the ring, and from the bus on a replica that has just started."""
    async with running(world.parts.feed):
        start = world.parts.feed.end
        contact = await world.contact("email:ann@x.example", "Ann")
        strand = await world.strand(contact, "Lamp", "email", NOW)
        for number in range(4):
            await world.message(strand, f"m{number}", NOW + number * MINUTE)
        every = await take(world.parts, 9, wanted=Filter(key()), place=start)
        assert texts(every) == ["m0", "m1", "m2", "m3"]
        for at, (_, place, _) in enumerate(every[:-1]):
            rest = await take(world.parts, 8 - at, wanted=Filter(key()), place=Vector.parse(topics.TIMELINE, place))
            assert rest == every[at + 1 :]
    async with running(LiveFeed(world.bus)) as fresh:
        replica = replace(world.parts, feed=fresh)
        await world.message(strand, "m4", NOW + 5 * MINUTE)
        later = await take(replica, 8, wanted=Filter(key()), place=Vector.parse(topics.TIMELINE, every[2][1]))
        assert texts(later) == ["m1", "m2", "m3", "m4"][-len(texts(later)) :]
        assert texts(later)[-1] == "m4"


async def test_many_changes_between_two_looks_come_once_each(world: World) -> None:
    feed = LiveFeed(world.bus, ring=20)
    async with running(feed):
        parts = replace(world.parts, feed=feed)
        start = feed.end
        contact = await world.contact("email:ann@x.example", "Ann")
        strand = await world.strand(contact, "Lamp", "email", NOW)
        for number in range(60):
            await world.message(strand, f"m{number}", NOW + number * MINUTE)
        seen = await take(parts, 121, wanted=Filter(key()), place=start)
        assert texts(seen) == [f"m{number}" for number in range(60)]


async def test_a_reader_that_fell_out_of_the_ring_is_ended(world: World) -> None:
    feed = LiveFeed(world.bus, ring=3)
    async with running(feed):
        contact = await world.contact("email:ann@x.example", "Ann")
        moments = feed.follow(feed.end)
        strand = await world.strand(contact, "Lamp", "email", NOW)
        (first, *_) = await asyncio.wait_for(anext(moments), 10)
        assert feed.change_in(first) is not None
        for number in range(8):
            await world.message(strand, f"m{number}", NOW + number * MINUTE)
        await all_seen(feed, world)
        with pytest.raises(FeedLagged):
            await rest_of(moments)


async def test_a_position_from_beyond_the_log_is_answered_by_reset(world: World) -> None:
    """A new data folder, or an expired position: the client must read again, not wait for ever."""
    async with running(world.parts.feed):
        frames = await take(world.parts, 1, wanted=Filter(key()), place=Vector(topics.TIMELINE, {3: 999}))
    assert [name for name, _, _ in frames] == ["reset"]


class Trimmed:
    """A bus whose log is trimmed under the feed, once."""

    def __init__(self, bus: SqliteBus) -> None:
        self._bus = bus
        self.gate = asyncio.Event()
        self._trimmed = False

    async def end(self, wanted: Sequence[str]) -> tuple[Position, ...]:
        return await self._bus.end(wanted)

    async def tail(self, wanted: Sequence[str], after: Sequence[Position] | None = None) -> AsyncIterator[Sequence[Received]]:
        if not self._trimmed:
            await self.gate.wait()
            self._trimmed = True
            raise PositionExpired("trimmed")
        async for batch in self._bus.tail(wanted, after):
            yield batch


async def test_streams_are_ended_when_the_log_was_trimmed_before_the_feed(world: World) -> None:
    """Nothing is skipped in silence: the client comes back with its position and is told to read again."""
    bus = Trimmed(world.bus)
    feed = LiveFeed(bus)  # type: ignore[arg-type]
    async with running(feed):
        moments = feed.follow(feed.end)
        waiting = asyncio.ensure_future(anext(moments))
        await asyncio.sleep(0)
        bus.gate.set()
        with pytest.raises(FeedLagged):
            await asyncio.wait_for(waiting, 10)


async def test_a_bus_that_goes_away_while_the_feed_begins_anew_does_not_end_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5: whatever the bus does, the router goes on by itself."""
    bus, told = Trimmed(world.bus), asyncio.Event()
    feed = LiveFeed(bus, on_error=lambda _: told.set())  # type: ignore[arg-type]

    async def away(_: Sequence[str]) -> tuple[Position, ...]:
        raise TransientError("Kafka cannot be read now")

    async with running(feed):
        monkeypatch.setattr(bus, "end", away)
        bus.gate.set()
        await asyncio.wait_for(told.wait(), 10)
        monkeypatch.undo()
        ann = await world.contact("email:ann@x.example", "Ann")
        await world.message(await world.strand(ann, "Lamp", "email", NOW), "after it", NOW)
        async with asyncio.timeout(10):
            async for records in feed.follow(Vector(topics.TIMELINE)):
                if any(b"after it" in (record.value or b"") for record in records):
                    break


async def test_a_conversation_stream_follows_what_joins_it(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Lamp", "email", NOW - MINUTE)
    phone = await world.contact("sms:+491701234567", None)
    second = await world.strand(phone, None, "sms", NOW, joins=strand.strand_id)
    async with running(world.parts.feed):
        start = world.parts.feed.end
        wanted = Filter(key(), conversation_id=strand.strand_id, strands={strand.strand_id})
        await world.message(second, "not yet", NOW, channel="sms")
        await world.link(ann, phone)
        await world.message(second, "now", NOW, channel="sms")
        seen = await take(world.parts, 4, wanted=wanted, place=start)
    assert texts(seen) == ["now"]


async def test_a_joined_strand_belongs_before_the_conversation_says_so(world: World) -> None:
    """The change of the joined strand may come first, and entries of it before the conversation's own change."""
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Lamp", "email", NOW - MINUTE)
    second = await world.strand(ann, None, "sms", NOW, joins=strand.strand_id)
    entry = entry_changed(await world.message(second, "now", NOW, channel="sms"))
    joined = (await world.store.summaries([second.strand_id]))[second.strand_id]
    wanted = Filter(key(), conversation_id=strand.strand_id, strands=[strand.strand_id])
    assert not wanted.passes(entry)
    assert wanted.passes(conversation_changed(joined))
    assert wanted.passes(entry)
    assert wanted.passes(conversation_changed(joined.model_copy(update={"joined": None})))
    assert not wanted.passes(entry)


async def test_html_is_sanitised_on_the_stream_too(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Lamp", "email", NOW)
    async with running(world.parts.feed):
        start = world.parts.feed.end
        await world.message(strand, "Hi", NOW, parts=(Part(type="html", html="<b onclick=x>Hi</b><script>1</script>"),))
        ((_, _, data),) = await take(world.parts, 1, wanted=Filter(key()), place=start)
    assert data["entry"]["parts"][0]["html"] == "<b>Hi</b>"  # type: ignore[index]


async def test_a_quiet_stream_shows_signs_of_life_and_ends_with_its_key(world: World) -> None:
    secret = await world.key(Scope.READ)
    async with running(world.parts.feed):
        frames = while_valid(world.parts, secret, events(world.parts, Filter(key()), None))
        async with asyncio.timeout(10):
            first = [await anext(frames) for _ in range(3)]
            assert first[0].startswith(b"retry:")
            assert read(first[1])[0] == "ready"
            assert first[2].startswith(b":")
            (made,) = await world.parts.keys.list_keys()
            await world.parts.keys.revoke(made.key_id, NOW)
            assert [frame async for frame in frames] == []


async def test_nothing_is_read_that_nobody_listens_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Design 13: a feed without streams costs no reading; with several, each change is read once."""
    read_ones: list[bytes] = []

    def counted(body: bytes) -> AnyTimelineChange:
        read_ones.append(body)
        return parse_timeline_change(body)

    monkeypatch.setattr("router.api.feed.parse_timeline_change", counted)
    async with running(world.parts.feed):
        start = world.parts.feed.end
        await two_brands(world)
        await all_seen(world.parts.feed, world)
        assert read_ones == []
        first, second = [await take(world.parts, 6, wanted=Filter(key("acme")), place=start) for _ in range(2)]
    assert first == second
    assert len(read_ones) == len(set(read_ones)) == 6


async def test_a_stream_that_only_others_write_to_shows_signs_of_life(world: World) -> None:
    """Else a proxy cuts it, and a revoked key is never noticed."""
    mine = await world.strand(await world.contact("email:ann@x.example", "Ann"), "Lamp", "email", NOW)
    other = await world.strand(await world.contact("email:bob@x.example", "Bob"), "Desk", "email", NOW)
    wanted = Filter(key(), conversation_id=mine.strand_id, strands={mine.strand_id})

    said: list[str] = []

    async def chatter() -> None:
        while True:
            said.append((await world.message(other, f"m{len(said)}", NOW)).message_id)
            await asyncio.sleep(0.005)

    async with running(world.parts.feed), asyncio.timeout(10):
        frames = events(world.parts, wanted, None)
        begun = [await anext(frames) for _ in range(2)]
        talking = asyncio.create_task(chatter())
        alive = read(await anext(frames))
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        await frames.aclose()  # type: ignore[attr-defined]
    assert alive[0] == "ready"
    assert len(said) < 60
    assert alive[1] != read(begun[1])[1]


async def test_a_revoked_key_ends_a_busy_stream_within_seconds(world: World) -> None:
    secret = await world.key(Scope.READ)

    async def busy() -> AsyncIterator[bytes]:
        while True:
            yield b"event: entry.changed\n\n"

    frames = while_valid(world.parts, secret, busy())
    await anext(frames)
    (made,) = await world.parts.keys.list_keys()
    await world.parts.keys.revoke(made.key_id, NOW)
    world.now = NOW + timedelta(seconds=5)
    assert [frame async for frame in frames] == []


async def test_a_client_that_takes_nothing_is_dropped() -> None:
    async def frames() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def send(message: object) -> None:
        if isinstance(message, dict) and message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async with asyncio.timeout(10):
        await EventStream(frames(), stalled=0.01)({"type": "http"}, receive, send)


async def test_the_feed_ends_its_streams_when_the_process_stops(world: World) -> None:
    async with running(world.parts.feed), asyncio.timeout(10):
        frames = events(world.parts, Filter(key()), None)
        assert read([await anext(frames) for _ in range(2)][1])[0] == "ready"
        await world.parts.feed.close()
        assert [one async for one in frames if read(one)[0] == "entry.changed"] == []


@given(st.dictionaries(st.integers(0, 500), st.integers(0, 2**53), max_size=40))
def test_positions_read_back_as_they_were_spelled(offsets: dict[int, int]) -> None:
    vector = Vector("t", offsets)
    assert Vector.parse("t", vector.spell()) == vector
    assert vector.covers(vector)
    for partition, offset in offsets.items():
        assert vector.has_seen(Position("t", partition, offset))
        assert not vector.has_seen(Position("t", partition, offset + 1))
        assert not vector.covers(vector.after(Position("t", partition, offset + 1)))


@given(st.text(max_size=60))
def test_no_text_breaks_a_position(text: str) -> None:
    try:
        Vector.parse("t", text)
    except VectorError:
        return
