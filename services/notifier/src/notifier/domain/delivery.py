"""A delivery: the life of one attempt to send one message, and how each thing that happens changes it.

Every function is pure and answers the next document, one version up; the store replaces it by compare-and-set.
Not here: which delivery of a lane is next (`lane`), and how long to wait (`backoff`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from threadline_events.keys import lane_key
from threadline_events.outbound import OutboundMessage
from threadline_events.states import DeliveryRank

from notifier.domain import backoff
from notifier.domain.outcomes import Deferred, Failed, Outcome, Refused, Sent, Unknown

__all__ = ["Delivery", "DeliveryId", "accept", "mark_reported", "open_call", "settle"]

_UNKNOWN_OUTCOMES_ALLOWED = 1
"""So often an unknown outcome is answered by a repeat; the next one is a person's to decide."""


@dataclass(frozen=True, slots=True, order=True)
class DeliveryId:
    """The same message and attempt is one delivery, however often it is consumed."""

    message_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is stored of an attempt. `position` orders it in its lane; `token` is that of the lease that opened the last call."""

    id: DeliveryId
    lane: str
    channel: str
    account_id: str
    position: str
    message: OutboundMessage
    rank: DeliveryRank = DeliveryRank.QUEUED
    try_number: int = 0
    call_open: bool = False
    token: int = 0
    deferrals: int = 0
    first_deferred_at: datetime | None = None
    unknown_outcomes: int = 0
    repeats: int = 0
    next_try_at: datetime | None = None
    external_ids: tuple[str, ...] = ()
    code: str | None = None
    reaction: str | None = None
    reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reported: bool = True
    version: int = 1

    @property
    def is_final(self) -> bool:
        """Whether its lane goes on without it."""
        return self.rank.is_final_for_lane

    @property
    def is_open(self) -> bool:
        """Whether anything is left to do: a call, or a report."""
        return not (self.is_final and self.reported)


def accept(message: OutboundMessage, offset: int) -> Delivery:
    """The delivery of a message read at `offset`. The lane's order is that of acceptance, then of the bus."""
    return Delivery(
        id=DeliveryId(message.message_id, message.attempt),
        lane=lane_key(message.channel, message.account_id, message.native_thread, message.message_id),
        channel=message.channel,
        account_id=message.account_id,
        position=f"{int(message.queued_at.timestamp() * 1000):015}-{offset:015}",
        message=message,
    )


def open_call(delivery: Delivery, token: int, now: datetime) -> Delivery:
    """Before the provider is called. A call after an unknown outcome is a repeat."""
    return replace(
        delivery,
        rank=max(delivery.rank, DeliveryRank.SENDING),
        try_number=delivery.try_number + 1,
        call_open=True,
        token=token,
        repeats=delivery.repeats + (1 if delivery.unknown_outcomes else 0),
        next_try_at=None,
        started_at=now,
        ended_at=None,
        version=delivery.version + 1,
    )


def mark_reported(delivery: Delivery) -> Delivery:
    """After the report of exactly this state is on the bus."""
    return replace(delivery, reported=True, version=delivery.version + 1)


def settle(delivery: Delivery, try_number: int, outcome: Outcome, now: datetime, roll: float) -> Delivery | None:
    """What a call's outcome makes of the delivery, or None where it teaches nothing. `roll` in [0, 1) is the jitter.

    An outcome of another try than the open one comes from a worker that lost its lease. It is knowledge, merged by state
    order: an acceptance always counts; a refusal counts unless a later call is open or another outcome is unknown.
    """
    if delivery.call_open and delivery.try_number == try_number:
        return _settle_open(delivery, outcome, now, roll)
    if isinstance(outcome, Sent) and delivery.rank < DeliveryRank.SENT:
        return _sent(delivery, outcome, now)
    if (
        isinstance(outcome, Failed)
        and not delivery.call_open
        and delivery.unknown_outcomes <= 1
        and delivery.rank < DeliveryRank.FAILED_CALL
    ):
        return _ended(delivery, DeliveryRank.FAILED_CALL, outcome, now)
    return None


def _settle_open(delivery: Delivery, outcome: Outcome, now: datetime, roll: float) -> Delivery:
    closed = replace(delivery, call_open=False)
    if delivery.is_final:  # a late acceptance was merged while this call was open
        return replace(closed, version=delivery.version + 1)
    match outcome:
        case Sent():
            return _sent(closed, outcome, now)
        case Failed():
            return _failed(closed, outcome, now)
        case Unknown():
            return _unknown(closed, outcome, now, roll)
        case Refused():
            return _ended(closed, closed.rank, outcome, now)
        case Deferred():
            return _deferred(closed, outcome, now, roll)


def _sent(delivery: Delivery, outcome: Sent, now: datetime) -> Delivery:
    return replace(_ended(delivery, DeliveryRank.SENT, outcome, now), external_ids=outcome.external_ids)


def _failed(delivery: Delivery, outcome: Failed | Deferred, now: datetime) -> Delivery:
    # An earlier call may have been accepted; then nobody may say that the message failed.
    if delivery.unknown_outcomes:
        doubt = f"{outcome.reason}; an earlier call may have been accepted"
        return _ended(delivery, DeliveryRank.UNCERTAIN, replace(outcome, reason=doubt), now)
    return _ended(delivery, DeliveryRank.FAILED_CALL, outcome, now)


def _unknown(delivery: Delivery, outcome: Unknown, now: datetime, roll: float) -> Delivery:
    counted = replace(delivery, unknown_outcomes=delivery.unknown_outcomes + 1)
    if not outcome.may_repeat or delivery.unknown_outcomes >= _UNKNOWN_OUTCOMES_ALLOWED:
        return _ended(counted, DeliveryRank.UNCERTAIN, outcome, now)
    return replace(_ended(counted, counted.rank, outcome, now), next_try_at=now + backoff.repeat_delay(outcome.at_once, roll))


def _deferred(delivery: Delivery, outcome: Deferred, now: datetime, roll: float) -> Delivery:
    since = delivery.first_deferred_at or now
    counted = replace(delivery, deferrals=delivery.deferrals + 1, first_deferred_at=since)
    if backoff.is_time_to_give_up(counted.deferrals, now - since):
        hours = int((now - since) / timedelta(hours=1))
        return _failed(counted, replace(outcome, reason=f"gave up after {hours} h: {outcome.reason}"), now)
    # Of an account that cannot be reached no delivery waits longer than the account itself does.
    delay_of = backoff.account_pause if outcome.whole_account else backoff.retry_delay
    delay = delay_of(counted.deferrals, outcome.retry_after, roll)
    return replace(_ended(counted, counted.rank, outcome, now), next_try_at=now + delay)


def _ended(delivery: Delivery, rank: DeliveryRank, outcome: Outcome, now: datetime) -> Delivery:
    return replace(
        delivery,
        rank=rank,
        code=outcome.code,
        reaction=outcome.reaction,
        reason=outcome.reason,
        ended_at=now,
        reported=False,
        version=delivery.version + 1,
    )
