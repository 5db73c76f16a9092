"""How far the consumers are behind, read from the bus itself as an operator's monitoring would.

Not here: whether anything is lost (`conservation`).
"""

import asyncio
import time
from collections.abc import Mapping

from notifier.consumer import GROUP as NOTIFIER_GROUP
from router.consuming import GROUPS as ROUTER_GROUPS
from threadline_events import topics
from threadline_runtime.bus.port import Bus
from threadline_runtime.errors import TransientError
from threadline_runtime.opening import open_bus

__all__ = ["GROUPS", "seconds_to_catch_up"]

GROUPS: Mapping[str, str] = {**ROUTER_GROUPS, topics.OUTBOUND: NOTIFIER_GROUP}
"""Topic to the group that works it off."""
_LOOK_AGAIN_SECONDS = 0.1


def seconds_to_catch_up(bus_url: str, within: float) -> float:
    """How long it takes until every group has passed what lies on the bus now. Raises TimeoutError."""
    return asyncio.run(_caught_up(bus_url, within))


async def _caught_up(url: str, within: float) -> float:
    began = time.monotonic()
    bus = await open_bus(url, version="test")
    try:
        ends = None
        while True:
            ends = ends or await _ends(bus)
            if ends is not None and not (behind := await _behind(bus, ends)):
                return time.monotonic() - began
            if time.monotonic() - began > within:
                raise TimeoutError(f"after {within:.0f} s these are behind: {behind if ends else 'the bus does not answer'}")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    finally:
        await bus.close()


async def _ends(bus: Bus) -> Mapping[tuple[str, int], int] | None:
    try:
        return {(part.topic, part.partition): part.end for topic, group in GROUPS.items() for part in await bus.progress(group, [topic])}
    except TransientError:
        return None


async def _behind(bus: Bus, ends: Mapping[tuple[str, int], int]) -> Mapping[str, int]:
    """Group to the records it has yet to pass."""
    behind: dict[str, int] = {}
    for topic, group in GROUPS.items():
        try:
            parts = await bus.progress(group, [topic])
        except TransientError:
            return {group: -1}
        missing = sum(max(0, ends[part.topic, part.partition] - part.committed) for part in parts)
        if missing:
            behind[group] = missing
    return behind
