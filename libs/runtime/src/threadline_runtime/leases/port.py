"""The lease store port: beats of processes, and leases that are taken by compare-and-set.

Not here: when a lease counts as free (`leases`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Lease", "LeaseStore", "Sighting"]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a name now. Each taking raises the token; a write under the lease carries it in its filter."""

    name: str
    holder: str | None
    token: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A lease as it was read, with its holder's beat at that moment."""

    lease: Lease | None
    beat: int | None


class LeaseStore(Protocol):
    """Where leases are kept. Every method raises TransientError when the store does not answer."""

    async def beat(self, holder: str, beat: int) -> None:
        """Write the beat of a process into its own document."""
        ...

    async def silence(self, holder: str) -> None:
        """Remove the beat of a process that ends, or has ended."""
        ...

    async def beats(self) -> Mapping[str, int]:
        """The beats of all processes, by holder."""
        ...

    async def look(self, name: str) -> Sighting:
        """Read the lease, then its holder's beat."""
        ...

    async def take(self, name: str, seen: Lease | None, holder: str) -> Lease | None:
        """Take the lease if it still is as it was `seen` (holder and token); the new lease, or None when another was faster."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease up if it is still held under this token; the token stays."""
        ...
