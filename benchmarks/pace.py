"""How fast something goes: records a second from the end of the first batch to the end of the last, and ratios of interleaved runs."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from threadline_runtime.bus.port import DeadLetter, Received

__all__ = ["Clock", "ClockedWatch", "Speed", "compared"]


@dataclass(frozen=True)
class Speed:
    """Records a second, and records a second of this process's own CPU: the latter also holds while others use the machine."""

    rate: float
    cpu_rate: float


class Clock:
    """Counts records and takes the time from the first batch to the last; the first batch itself is not counted."""

    def __init__(self, count: int) -> None:
        self._count, self._seen, self._first = count, 0, 0
        self._began, self._began_cpu = 0.0, 0.0
        self.batches = 0
        self.full = asyncio.Event()

    def took(self, records: int) -> None:
        if not self._seen:
            self._began, self._began_cpu, self._first = time.perf_counter(), time.process_time(), records
        self._seen += records
        self.batches += 1
        if self._seen >= self._count:
            self._ended, self._ended_cpu = time.perf_counter(), time.process_time()
            self.full.set()

    def speed(self) -> Speed:
        records = self._seen - self._first
        return Speed(records / (self._ended - self._began), records / (self._ended_cpu - self._began_cpu))


class ClockedWatch:
    """What a bus tells its watcher, as far as a clock needs it: a batch (of one group, if it is named) was handled and committed."""

    def __init__(self, group: str | None = None) -> None:
        self._group = group
        self.clock = Clock(0)

    def restart(self, count: int) -> Clock:
        """A new clock that is full after so many records."""
        self.clock = Clock(count)
        return self.clock

    def batch_done(self, group: str, records: int, seconds: float) -> None:
        if self._group in {None, group}:
            self.clock.took(records)

    def dead_lettered(self, group: str, record: Received, letter: DeadLetter) -> None:
        raise AssertionError(letter)

    def retrying(self, group: str, error_class: str) -> None:
        print("waits:", error_class)

    def polled(self, group: str) -> None:
        pass


def compared(pairs: Sequence[tuple[Speed, Speed]]) -> dict[str, float]:
    """Medians of interleaved runs (floor, ours); `ratio` is ours to the floor, `cpu_times` our CPU a record to the floor's."""
    ratios = [ours.rate / floor.rate for floor, ours in pairs]
    return {
        "floor_per_second": round(statistics.median(floor.rate for floor, _ in pairs)),
        "ours_per_second": round(statistics.median(ours.rate for _, ours in pairs)),
        "ratio": round(statistics.median(ratios), 3),
        "lowest_ratio": round(min(ratios), 3),
        "highest_ratio": round(max(ratios), 3),
        "floor_cpu_ms": round(statistics.median(1000 / floor.cpu_rate for floor, _ in pairs), 3),
        "ours_cpu_ms": round(statistics.median(1000 / ours.cpu_rate for _, ours in pairs), 3),
        "cpu_times": round(statistics.median(floor.cpu_rate / ours.cpu_rate for floor, ours in pairs), 2),
    }
