"""Finds results that a crash left unreported in a lane that is not due.

A worker that lost its lease stores its late result and then marks the lane; if it dies between the two, the worker that has the lane
may have looked and gone. Nothing else can be left behind: what the consumer did not mark is delivered again by the bus.
"""

from datetime import datetime

from notifier.store.port import DeliveryStore

__all__ = ["sweep"]

_AT_ONCE = 500


async def sweep(store: DeliveryStore, account_id: str, now: datetime) -> int:
    """Mark those lanes of an account; how many. A lane that is being reported right now is marked in vain."""
    lanes = await store.unreported_lanes(account_id, _AT_ONCE)
    if lanes:
        await store.raise_due(dict.fromkeys(lanes, account_id), now)
    return len(lanes)
