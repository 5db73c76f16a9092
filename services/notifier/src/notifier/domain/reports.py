"""What the router is told of a delivery. Made from what is stored, never from what was computed."""

from typing import Literal, cast

from threadline_events.deliveries import DeliveryUpdated

from notifier.domain.delivery import Delivery

__all__ = ["report_of"]

_ReportedState = Literal["sending", "sent", "failed", "uncertain"]


def report_of(delivery: Delivery) -> DeliveryUpdated:
    """The report of the last try; the delivery must have had one."""
    if delivery.started_at is None:
        raise ValueError("a delivery without a try has nothing to report")
    message = delivery.message
    return DeliveryUpdated(
        message_id=delivery.id.message_id,
        channel=delivery.channel,
        account_id=delivery.account_id,
        brand=message.brand,
        native_thread=message.native_thread,
        attempt=delivery.id.attempt,
        try_=delivery.try_number,
        state=cast("_ReportedState", delivery.rank.state),
        external_ids=delivery.external_ids,
        code=delivery.code,
        class_=delivery.reaction,
        reason=delivery.reason,
        started_at=delivery.started_at,
        ended_at=delivery.ended_at,
    )
