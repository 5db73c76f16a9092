"""Outcomes recorded and counted, in one place for everything that ends an event."""

from collections.abc import Sequence

from router.parts import Parts
from router.store.port import Outcome

__all__ = ["record"]


async def record(parts: Parts, outcomes: Sequence[Outcome]) -> None:
    """Record; the first of an event stands (see the port)."""
    await parts.outcomes.record(outcomes)
    for one in outcomes:
        parts.tally.ended(one.channel, one.account_id, one.outcome, one.reason)
