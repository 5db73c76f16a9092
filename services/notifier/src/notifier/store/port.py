"""What the notifier keeps, as a port. Every write is atomic on one document; batches are unordered.

Not here: what a change means (`domain`); a store only replaces documents by compare-and-set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from notifier.domain.delivery import Delivery, DeliveryId
from notifier.domain.lane import Lane

__all__ = ["DeliveryStore", "Totals"]


@dataclass(frozen=True, slots=True)
class Totals:
    """The deliveries of an account by what became of them. `accepted` is the sum of the other four; `repeated` counts calls apart."""

    accepted: int = 0
    sent: int = 0
    failed: int = 0
    uncertain: int = 0
    in_flight: int = 0
    repeated: int = 0


class DeliveryStore(Protocol):
    """Deliveries and lanes. Every method raises TransientError when the store cannot answer now."""

    async def insert(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Insert those whose id is not there yet, and answer what is stored under each id."""
        ...

    async def find(self, delivery_id: DeliveryId) -> Delivery | None:
        """The stored delivery."""
        ...

    async def open_in_lane(self, lane: str, limit: int) -> Sequence[Delivery]:
        """The first deliveries of a lane that are not both final and reported, by position."""
        ...

    async def replace(self, delivery: Delivery) -> bool:
        """Store it if the stored one is exactly one version older; False where it is not."""
        ...

    async def raise_due(self, lanes: Mapping[str, str], now: datetime) -> None:
        """Raise `due` of each lane (key to account id), and let it be looked at from now on; a new lane's number is 1."""
        ...

    async def clear_due(self, lane: Lane) -> bool:
        """Nothing is left in this lane, if `due` still is what was read; False where it was raised meanwhile.

        The number itself is never lowered.
        """
        ...

    async def postpone(self, lane: Lane, until: datetime) -> bool:
        """Do not look at the lane before then, if `due` still is what was read."""
        ...

    async def lane(self, key: str) -> Lane | None:
        """The lane, if it is due at any time."""
        ...

    async def due_lanes(self, account_id: str, now: datetime, limit: int) -> Sequence[Lane]:
        """Lanes of an account to look at now, the longest waiting first."""
        ...

    async def next_due_at(self, account_id: str, after: datetime) -> datetime | None:
        """The first time after `after` at which a lane of the account is to be looked at; None when there is none."""
        ...

    async def unreported_lanes(self, account_id: str, limit: int) -> Sequence[str]:
        """Lanes of an account with a delivery that is final and not reported."""
        ...

    async def totals(self, since: datetime | None = None) -> Mapping[str, Totals]:
        """What became of what was accepted, by account, of deliveries queued since then."""
        ...
