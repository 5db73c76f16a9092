"""How the router's rate goes with the length of conversations, with partitions, with the size of batches and of messages.

`length`: a turn is some messages, an edit of an old one and a receipt in one batch, then what an agent's tool reads through the API: the
list, a conversation, the newest and the oldest page of its timeline. Worlds with conversations of each length take turns, so that a loaded
machine slows all of them alike. Without an index the stand-in for MongoDB reads whole collections, so there the turns leave the API out.
The other curves: known contacts' messages from the bus to the published changes.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import httpx
from events import edited, receipt, received
from pace import ClockedWatch, Speed
from router.api.keys import ensure_first_key
from router.app import Router
from routing import PLACES, Place, PlaceName, emptied, publish, router_on, running, work_off
from threadline_events.ids import strand_id
from threadline_events.inbound import InboundEvent
from threadline_runtime.bus.kafka_topics import PARTITIONS

_KEY = "tl_only_for_this_benchmark_only_for_this_benchmark"
_BYSTANDERS = 200
_FILLED_AT_ONCE = 200
_A_TURN = 4
# No longer than the shortest conversation: else the long ones would be slower for being shown more of.
_PAGE = "limit=10"
_CONTACTS = 500
_EACH = 4
_BATCH = 200
_MOST_BYTES = 20_000_000
LENGTHS = {10: 200, 100: 50, 1_000: 10, 10_000: 1, 100_000: 1}
"""How many conversations there are of each length, so that the turns do not make the short ones much longer."""
POINTS = {"partitions": (1, 3, 12, 48), "batch": (10, 50, 200, 500), "size": (200, 2_000, 20_000, 200_000)}
Curve = list[dict[str, float]]


@dataclass(frozen=True)
class Talk:
    """A conversation: its contact and the numbers of all that was said (the events themselves would fill the memory)."""

    contact: int
    said: list[int]

    @property
    def path(self) -> str:
        """Where the API answers it."""
        return f"/v1/conversations/{strand_id(self.message(self.said[0]).message_id)}"

    def message(self, number: int) -> InboundEvent:
        """What was said."""
        return received(number, self.contact)


class World:
    """A router whose conversations have one length, and what happens in a turn."""

    def __init__(self, router: Router, api: httpx.AsyncClient | None, length: int) -> None:
        self.length = length
        self._router, self._api = router, api
        self._numbers = count()
        self._chance = random.Random(length)
        self._talks = [Talk(contact, []) for contact in range(LENGTHS[length])]
        self._turn = 0

    async def fill(self) -> None:
        """Say all that was said before, and let as many others write that the list is full in every world."""
        await self._take([received(next(self._numbers), 1_000_000 + contact) for contact in range(_BYSTANDERS)])
        for talk in self._talks:
            while (missing := self.length - len(talk.said)) > 0:
                await self._take(self._say(talk, min(missing, _FILLED_AT_ONCE)))

    async def turns(self, number: int) -> Speed:
        """How fast so many turns are."""
        began, began_cpu = time.perf_counter(), time.process_time()
        for _ in range(number):
            await self._one(self._talks[self._turn % len(self._talks)])
            self._turn += 1
        return Speed(number / (time.perf_counter() - began), number / (time.process_time() - began_cpu))

    async def _one(self, talk: Talk) -> None:
        old = [talk.message(number) for number in self._chance.choices(talk.said, k=2)]
        events = self._say(talk, _A_TURN)
        await self._take([*events, edited(old[0], self._turn, self._turn + 1), receipt(old[1], self._turn)])
        if self._api is not None:
            for asked in ("/v1/conversations", talk.path, f"{talk.path}/timeline?order=desc&{_PAGE}", f"{talk.path}/timeline?{_PAGE}"):
                (await self._api.get(asked)).raise_for_status()

    def _say(self, talk: Talk, messages: int) -> list[InboundEvent]:
        numbers = [next(self._numbers) for _ in range(messages)]
        talk.said.extend(numbers)
        return [talk.message(number) for number in numbers]

    async def _take(self, events: Sequence[InboundEvent]) -> None:
        await self._router.pipeline.take([(event, 1_000) for event in events])


async def _world(stack: AsyncExitStack, place: Place, length: int) -> World:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    router = await stack.enter_async_context(router_on(place, folder, ClockedWatch()))
    api = None
    if place.mongodb is None:
        await ensure_first_key(router.keys, _KEY, random=os.urandom(32), now=datetime.now(UTC))
        transport, headers = httpx.ASGITransport(router.web), {"Authorization": f"Bearer {_KEY}"}
        api = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers))
    world = World(router, api, length)
    await world.fill()
    return world


async def over_length(place: Place, lengths: Sequence[int], rounds: int, turns: int) -> Curve:
    """Turns a second by the length of the conversations."""
    await emptied(place)
    async with AsyncExitStack() as stack:
        worlds = [await _world(stack, place, length) for length in lengths]
        for world in worlds:
            await world.turns(turns)
        speeds: dict[int, list[Speed]] = {length: [] for length in lengths}
        for _ in range(rounds):
            for world in worlds:
                speeds[world.length].append(await world.turns(turns))
    shortest = speeds[lengths[0]]
    return [_point(length, [one.rate for one in mine]) | _to(shortest, mine) for length, mine in speeds.items()]


def _to(shortest: Sequence[Speed], mine: Sequence[Speed]) -> dict[str, float]:
    """How a length compares to the shortest, round by round; by this process's own CPU it also holds while others use the machine."""
    pairs = list(zip(mine, shortest, strict=True))
    return {
        "cpu_ms": round(statistics.median(1000 / one.cpu_rate for one in mine), 2),
        "to_shortest": round(statistics.median(one.rate / other.rate for one, other in pairs), 3),
        "to_shortest_by_cpu": round(statistics.median(one.cpu_rate / other.cpu_rate for one, other in pairs), 3),
    }


def _point(x: float, rates: Sequence[float]) -> dict[str, float]:
    return {"x": x, "rate": round(statistics.median(rates), 1), "lowest": round(min(rates), 1), "highest": round(max(rates), 1)}


async def _rate(place: Place, messages: int, *, partitions: int = PARTITIONS, batch: int = _BATCH, size: int = 500) -> float:
    """Messages a second of known contacts."""
    await emptied(place, partitions)
    watch = ClockedWatch()
    contacts = min(_CONTACTS, messages // _EACH)
    events = [received(n, n % contacts, text="x" * size) for n in range(messages + contacts)]
    with tempfile.TemporaryDirectory() as name:
        async with router_on(place, Path(name), watch, partitions=partitions) as router:
            await publish(router.bus, events[:contacts])
            await work_off(router, watch, contacts, batch=batch)
            await publish(router.bus, events[contacts:])
            return (await work_off(router, watch, messages, batch=batch)).rate


async def over_points(place: Place, curve: str, rounds: int, messages: int) -> Curve:
    """Messages a second by partitions, batch or size."""
    rates: dict[int, list[float]] = {x: [] for x in POINTS[curve]}
    for _ in range(rounds):
        for x, mine in rates.items():
            wanted = min(messages, max(_EACH * _BATCH, _MOST_BYTES // x)) if curve == "size" else messages
            mine.append(await _rate(place, wanted, **{curve: x}))
    return [_point(x, mine) for x, mine in rates.items()]


async def measure(on: PlaceName, place: Place, curve: str, *, quick: bool, longest: int) -> Curve:
    """One curve."""
    if curve == "length":
        lengths = [length for length in LENGTHS if length <= (1_000 if quick else longest)]
        return await over_length(place, lengths, 2 if quick else 20, 8 if quick else 10)
    return await over_points(place, curve, 1 if quick else 3, 1_000 if quick else 2_000)


def main() -> None:
    """Print the points of one curve."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--curve", choices=("length", *POINTS), default="length")
    arguments.add_argument("--on", choices=PLACES, default="sqlite", help="where bus and database lie")
    arguments.add_argument("--longest", type=int, default=100_000, help="leave out conversations longer than that")
    arguments.add_argument("--quick", action="store_true", help="short ones, to see that it works")
    arguments.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = arguments.parse_args()
    with running(chosen.on) as place:
        points = asyncio.run(measure(chosen.on, place, chosen.curve, quick=chosen.quick, longest=chosen.longest))
    if chosen.json:
        print(json.dumps({"path": "scaling", "curve": chosen.curve, "on": chosen.on, "points": points}))
        return
    for point in points:
        print("  ".join(f"{name} {value}" for name, value in point.items()))


if __name__ == "__main__":
    main()
