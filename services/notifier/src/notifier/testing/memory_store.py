"""A DeliveryStore in a dictionary, for tests that decide themselves who goes on at each step. Held to the same suite."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from threadline_events.states import DeliveryRank

from notifier.domain.delivery import Delivery, DeliveryId
from notifier.domain.lane import Lane
from notifier.store.port import Totals

__all__ = ["MemoryDeliveryStore"]


async def _at_once() -> None:
    """No other step comes between."""


@dataclass(frozen=True, slots=True)
class _Mark:
    lane: Lane
    is_due: bool
    not_before: datetime


@dataclass
class MemoryDeliveryStore:
    """`step` is awaited before each operation; what it lets in between happens before that operation."""

    step: Callable[[], Awaitable[None]] = _at_once
    deliveries: dict[DeliveryId, Delivery] = field(default_factory=dict)
    marks: dict[str, _Mark] = field(default_factory=dict)

    async def insert(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """See DeliveryStore."""
        await self.step()
        return [self.deliveries.setdefault(one.id, one) for one in deliveries]

    async def find(self, delivery_id: DeliveryId) -> Delivery | None:
        """See DeliveryStore."""
        await self.step()
        return self.deliveries.get(delivery_id)

    async def open_in_lane(self, lane: str, limit: int) -> Sequence[Delivery]:
        """See DeliveryStore."""
        await self.step()
        found = [one for one in self.deliveries.values() if one.lane == lane and one.is_open]
        return sorted(found, key=lambda one: (one.position, one.id))[:limit]

    async def replace(self, delivery: Delivery) -> bool:
        """See DeliveryStore."""
        await self.step()
        stored = self.deliveries.get(delivery.id)
        if stored is None or stored.version != delivery.version - 1:
            return False
        self.deliveries[delivery.id] = delivery
        return True

    async def raise_due(self, lanes: Mapping[str, str], now: datetime) -> None:
        """See DeliveryStore."""
        await self.step()
        for key, account_id in lanes.items():
            mark = self.marks.get(key)
            due = mark.lane.due + 1 if mark else 1
            not_before = min(mark.not_before, now) if mark and mark.is_due else now
            self.marks[key] = _Mark(Lane(key, account_id, due), True, not_before)

    async def clear_due(self, lane: Lane) -> bool:
        """See DeliveryStore."""
        await self.step()
        return self._change(lane, is_due=False)

    async def postpone(self, lane: Lane, until: datetime) -> bool:
        """See DeliveryStore."""
        await self.step()
        return self._change(lane, not_before=until)

    async def lane(self, key: str) -> Lane | None:
        """See DeliveryStore."""
        await self.step()
        mark = self.marks.get(key)
        return mark.lane if mark and mark.is_due else None

    async def due_lanes(self, account_id: str, now: datetime, limit: int) -> Sequence[Lane]:
        """See DeliveryStore."""
        await self.step()
        due = [mark for mark in self._due(account_id) if mark.not_before <= now]
        return [mark.lane for mark in sorted(due, key=lambda mark: mark.not_before)][:limit]

    async def next_due_at(self, account_id: str, after: datetime) -> datetime | None:
        """See DeliveryStore."""
        await self.step()
        return min((mark.not_before for mark in self._due(account_id) if mark.not_before > after), default=None)

    async def unreported_lanes(self, account_id: str, limit: int) -> Sequence[str]:
        """See DeliveryStore."""
        await self.step()
        found = (one for one in self.deliveries.values() if one.account_id == account_id and one.is_final and one.is_open)
        return list(dict.fromkeys(one.lane for one in found))[:limit]

    async def totals(self, since: datetime | None = None) -> Mapping[str, Totals]:
        """See DeliveryStore."""
        await self.step()
        totals: dict[str, Totals] = {}
        for one in self.deliveries.values():
            if since is None or one.message.queued_at >= since:
                before = totals.get(one.account_id, Totals())
                totals[one.account_id] = replace(
                    before,
                    accepted=before.accepted + 1,
                    sent=before.sent + (one.rank is DeliveryRank.SENT),
                    failed=before.failed + (one.rank is DeliveryRank.FAILED_CALL),
                    uncertain=before.uncertain + (one.rank is DeliveryRank.UNCERTAIN),
                    in_flight=before.in_flight + (not one.is_final),
                    repeated=before.repeated + one.repeats,
                )
        return totals

    def _due(self, account_id: str) -> list[_Mark]:
        return [mark for mark in self.marks.values() if mark.is_due and mark.lane.account_id == account_id]

    def _change(self, lane: Lane, *, is_due: bool = True, not_before: datetime | None = None) -> bool:
        mark = self.marks.get(lane.key)
        if mark is None or mark.lane.due != lane.due:
            return False
        self.marks[lane.key] = _Mark(mark.lane, is_due and mark.is_due, not_before or mark.not_before)
        return True
