"""A lane: the deliveries of one native thread, sent one after the other. Says what its worker does next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from notifier.domain.delivery import Delivery

__all__ = ["Call", "Done", "Lane", "Report", "Resolve", "Step", "Wait", "next_step"]


@dataclass(frozen=True, slots=True)
class Lane:
    """`due` is raised whenever somebody should look, and cleared only where it still has the value that was read before looking."""

    key: str
    account_id: str
    due: int


@dataclass(frozen=True, slots=True)
class Report:
    """Publish what is stored of this delivery."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Resolve:
    """A call was opened under a lost lease and never closed: its outcome is unknown."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Call:
    """Open a call for this delivery."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Wait:
    """The oldest delivery rests until then, and no later one may overtake it."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


Step = Report | Resolve | Call | Wait | Done


def next_step(deliveries: Sequence[Delivery], now: datetime) -> Step:
    """The next step in a lane whose open deliveries are these, in their order. Known results are reported first."""
    for one in deliveries:
        if not one.reported and (one.is_final or not one.call_open):
            return Report(one)
    oldest = next((one for one in deliveries if not one.is_final), None)
    if oldest is None:
        return Done()
    if oldest.call_open:
        return Resolve(oldest)
    if oldest.next_try_at is not None and oldest.next_try_at > now:
        return Wait(oldest.next_try_at)
    return Call(oldest)
