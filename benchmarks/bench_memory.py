"""Whether the router's memory stays flat over many events: a whole router on SQLite files, fed a slice at a time.

The bus's clock jumps on with every slice, so that it drops what the groups have passed and its file stays small; the database keeps
everything, as it does in production (about 5 KB an event). What is measured is this process, with its publishing side.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from events import again, edited, intake_of, received
from pace import ClockedWatch
from rich.console import Console
from rich.progress import Progress
from router.consuming import GROUPS
from routing import Place, router_on
from threadline_events import topics
from threadline_events.inbound import InboundEvent
from threadline_events.records import inbound_record, intake_record
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.garbage import look_rarely

_SLICE = 2_000
_CONTACTS = 2_000
_SHARE = 0.05
_JUMP = timedelta(days=8)


class JumpingClock:
    """The bus's time; two jumps are more than it keeps records."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self._now

    def jump(self) -> None:
        self._now += _JUMP


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def a_slice(first: int, size: int, chance: random.Random) -> list[InboundEvent]:
    """Messages of many contacts, with duplicates and edits of some of them after them."""
    some = int(size * _SHARE)
    messages = [received(first + n, chance.randrange(_CONTACTS)) for n in range(size - 2 * some)]
    twice = [again(event, first) for event in chance.sample(messages, some)]
    return messages + twice + [edited(event, first) for event in chance.sample(messages, some)]


async def measure(events: int, progress: Progress) -> dict[str, object]:
    """Memory at tenths of the way."""
    watch, clock, chance = ClockedWatch(GROUPS[topics.INBOUND]), JumpingClock(), random.Random(20261124)
    bar, memory, began = progress.add_task("events", total=events), [resident_mb()], time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        async with router_on(Place(), Path(name), watch, now=clock) as router:
            bus = router.bus
            assert isinstance(bus, SqliteBus)
            work = asyncio.create_task(router.run())
            for first in range(0, events, _SLICE):
                coming = a_slice(first, min(_SLICE, events - first), chance)
                full = watch.restart(len(coming)).full
                await bus.publish([inbound_record(event) for event in coming], then=[intake_record(intake_of(event)) for event in coming])
                await _first(work, full)
                clock.jump()
                await bus.trim()
                memory.append(resident_mb())
                progress.update(bar, completed=first + len(coming))
            work.cancel()
            await asyncio.wait([work])
    tenths = [round(memory[(len(memory) - 1) * n // 10], 1) for n in range(11)]
    rate = round(events / (time.perf_counter() - began), 1)
    return {"path": "memory", "events": events, "per_second": rate, "mb_at_tenths": tenths, "mb_highest": round(max(memory), 1)}


async def _first(work: "asyncio.Task[None]", full: asyncio.Event) -> None:
    """Wait for the slice; a router that ends before it raises what ended it."""
    passed = asyncio.create_task(full.wait())
    await asyncio.wait([work, passed], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        passed.cancel()
        work.result()


def main() -> None:
    """Print the row."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=100_000)
    arguments.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = arguments.parse_args()
    look_rarely()
    with Progress(console=Console(stderr=True)) as progress:
        result = asyncio.run(measure(chosen.events, progress))
    print(json.dumps(result) if chosen.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
