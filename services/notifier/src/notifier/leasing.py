"""Leases on lanes, by the leases of `threadline_runtime`."""

import contextlib
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

    async def try_acquire(self, lane: str) -> "_HeldLane | None":
        """See the port."""
        lease = await self._leases.attempt(_PREFIX + lane)
        return _HeldLane(self._leases, lease) if lease is not None else None


@dataclass(frozen=True, slots=True)
class _HeldLane:
    """One lane that this process holds."""

    leases: Leases
    lease: Lease

    @property
    def token(self) -> int:
        return self.lease.token

    async def release(self) -> None:
        """Give it back, if not now then by taking it again: it stays ours while the store does not answer."""
        with contextlib.suppress(TransientError):
            await self.leases.release(self.lease)
