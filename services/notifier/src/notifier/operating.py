"""Tells operators what the workers did: metrics and logs, with ids and codes only."""

from collections.abc import Callable
from datetime import datetime

import structlog
from threadline_events.states import DeliveryRank
from threadline_runtime.metrics import Metrics

from notifier.accounts import AccountCondition, AccountStatus
from notifier.domain.delivery import Delivery

__all__ = ["Operations"]

_log = structlog.stdlib.get_logger("notifier")


class Operations:
    """The `Watcher` of a process."""

    def __init__(self, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._now = now

    def call_opened(self, delivery: Delivery, *, is_repeat: bool) -> None:
        """See Watcher."""
        if is_repeat:
            self._metrics.delivery_repeats.labels(delivery.channel, delivery.account_id).inc()
            _log.warning("call repeated", **_names(delivery))

    def settled(self, before: Delivery, after: Delivery) -> None:
        """See Watcher."""
        if after.is_final and after.rank is not before.rank:
            self._metrics.deliveries.labels(after.channel, after.account_id, after.rank.state).inc()
        if after.rank is DeliveryRank.SENT and before.rank is not DeliveryRank.SENT:
            age = (self._now() - after.message.queued_at).total_seconds()
            self._metrics.delivery_seconds.labels(after.channel, after.account_id).observe(max(age, 0.0))
        elif after.rank is not DeliveryRank.SENT:
            _log.warning("not sent", **_names(after), state=after.rank.state, code=after.code, class_=after.reaction)

    def account_changed(self, status: AccountStatus) -> None:
        """See Watcher."""
        say = _log.error if status.condition is AccountCondition.AUTH_FAILED else _log.warning
        say("sending account changed", account_id=status.account_id, condition=status.condition.value, reason=status.reason)

    def faulted(self, account_id: str, error: Exception) -> None:
        """See Watcher."""
        _log.warning("step failed", account_id=account_id, exc_info=error)

    def not_configured(self, account_id: str) -> None:
        """Messages wait for an account that the configuration does not have."""
        _log.error("deliveries wait for an account that is not configured", account_id=account_id)


def _names(delivery: Delivery) -> dict[str, object]:
    one = delivery.id
    return {"account_id": delivery.account_id, "message_id": one.message_id, "attempt": one.attempt, "try_no": delivery.try_number}
