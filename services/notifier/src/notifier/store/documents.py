"""A delivery as JSON and back. The message stays apart from what changes, as it is large and never written again."""

import json
from datetime import datetime
from typing import Any

from threadline_events.outbound import OutboundMessage
from threadline_events.states import DeliveryRank

from notifier.domain.delivery import Delivery, DeliveryId

__all__ = ["read_delivery", "state_json"]


def state_json(delivery: Delivery) -> str:
    """Everything of a delivery but its message."""
    return json.dumps(
        {
            "message_id": delivery.id.message_id,
            "attempt": delivery.id.attempt,
            "lane": delivery.lane,
            "channel": delivery.channel,
            "account_id": delivery.account_id,
            "position": delivery.position,
            "rank": int(delivery.rank),
            "try": delivery.try_number,
            "call_open": delivery.call_open,
            "token": delivery.token,
            "deferrals": delivery.deferrals,
            "first_deferred_at": _spell(delivery.first_deferred_at),
            "unknown_outcomes": delivery.unknown_outcomes,
            "repeats": delivery.repeats,
            "next_try_at": _spell(delivery.next_try_at),
            "external_ids": list(delivery.external_ids),
            "code": delivery.code,
            "reaction": delivery.reaction,
            "reason": delivery.reason,
            "started_at": _spell(delivery.started_at),
            "ended_at": _spell(delivery.ended_at),
            "reported": delivery.reported,
            "version": delivery.version,
        },
        separators=(",", ":"),
    )


def read_delivery(state: str, message: bytes) -> Delivery:
    """The delivery that was stored."""
    data: dict[str, Any] = json.loads(state)
    return Delivery(
        id=DeliveryId(data["message_id"], data["attempt"]),
        lane=data["lane"],
        channel=data["channel"],
        account_id=data["account_id"],
        position=data["position"],
        message=OutboundMessage.model_validate_json(message),
        rank=DeliveryRank(data["rank"]),
        try_number=data["try"],
        call_open=data["call_open"],
        token=data["token"],
        deferrals=data["deferrals"],
        first_deferred_at=_read(data["first_deferred_at"]),
        unknown_outcomes=data["unknown_outcomes"],
        repeats=data["repeats"],
        next_try_at=_read(data["next_try_at"]),
        external_ids=tuple(data["external_ids"]),
        code=data["code"],
        reaction=data["reaction"],
        reason=data["reason"],
        started_at=_read(data["started_at"]),
        ended_at=_read(data["ended_at"]),
        reported=data["reported"],
        version=data["version"],
    )


def _spell(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
