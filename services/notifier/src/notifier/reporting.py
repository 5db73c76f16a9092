"""Publishes what is stored of a delivery, and then marks exactly that as reported."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from threadline_events.records import Record, delivery_record
from threadline_runtime.failpoints import failpoint

from notifier.domain.delivery import Delivery, mark_reported
from notifier.domain.reports import report_of
from notifier.store.port import DeliveryStore

__all__ = ["Publish", "Reporter"]


class Publish(Protocol):
    """`Bus.publish`: returns when the records are durable."""

    def __call__(self, records: Sequence[Record]) -> Awaitable[None]:
        """Publish all of them."""
        ...


class Reporter:
    """Reports deliveries to the router."""

    def __init__(self, store: DeliveryStore, publish: Publish) -> None:
        self._store = store
        self._publish = publish

    async def report(self, delivery: Delivery) -> None:
        """Publish this state. It may be published twice; it is never marked without having been published."""
        await failpoint("notifier.reporting.before_publish")
        await self._publish([delivery_record(report_of(delivery))])
        await failpoint("notifier.reporting.after_publish")
        await self._mark(delivery)
        await failpoint("notifier.reporting.after_mark")

    async def _mark(self, published: Delivery) -> None:
        stored: Delivery | None = published
        while stored is not None and not stored.reported and _said(stored) == _said(published):
            if await self._store.replace(mark_reported(stored)):
                return
            stored = await self._store.find(published.id)


def _said(delivery: Delivery) -> tuple[object, ...]:
    return delivery.rank, delivery.try_number, delivery.ended_at
