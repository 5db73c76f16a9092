"""Leases on lanes, by the leases of `threadline_runtime`."""

from dataclasses import dataclass

from threadline_runtime.errors import TransientError
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.port import Lease

__all__ = ["LeasedLanes"]

_PREFIX = "notifier/lane/"


class LeasedLanes:
    """The `LaneLeases` of a process."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._kept: dict[str, Lease] = {}

    async def try_acquire(self, lane: str) -> "_HeldLane | None":
        """See the port."""
        kept = self._kept.get(lane)
        if kept is not None:
            # Giving it back failed; as long as this process beats, nobody else could ever take it.
            await self._leases.release(kept)
            del self._kept[lane]
        lease = await self._leases.attempt(_PREFIX + lane)
        return _HeldLane(self, lane, lease) if lease is not None else None

    async def give_back(self, lane: str, lease: Lease) -> None:
        """Release it, if not now then before it is taken again."""
        try:
            await self._leases.release(lease)
        except TransientError:
            self._kept[lane] = lease


@dataclass(frozen=True, slots=True)
class _HeldLane:
    """One lane that this process holds."""

    lanes: LeasedLanes
    lane: str
    lease: Lease

    @property
    def token(self) -> int:
        return self.lease.token

    async def release(self) -> None:
        await self.lanes.give_back(self.lane, self.lease)
