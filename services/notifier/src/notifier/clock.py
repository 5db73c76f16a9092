"""Time and chance as arguments: built once in `app`, replaced in tests."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Clock", "system_clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` is the wall clock, for what is stored; `monotonic` in seconds, for waiting; `roll` in [0, 1), for jitter."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    roll: Callable[[], float]


def system_clock() -> Clock:
    """The machine's clocks."""
    return Clock(lambda: datetime.now(UTC), time.monotonic, random.random)
