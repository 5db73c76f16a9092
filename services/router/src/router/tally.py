"""The pipeline's numbers as metrics (interface section 4). Labels are channels, accounts and our own reasons.

Not here: dead letters, which the runtime counts for every consumer.
"""

from threadline_runtime.metrics import Metrics

__all__ = ["MetricsTally"]


class MetricsTally:
    """Counts into one process's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._plain = {"applied": metrics.applied, "duplicate": metrics.duplicate}
        self._with_reason = {"ignored": metrics.ignored, "rejected": metrics.rejected}

    def received(self, channel: str, account_id: str) -> None:
        """An event was read from the bus."""
        self._metrics.received.labels(channel, account_id).inc()

    def stored(self, channel: str, account_id: str, seconds: float) -> None:
        """It became a timeline entry."""
        self._metrics.stored.labels(channel, account_id).inc()
        self._metrics.timeline_latency.labels(channel, account_id).observe(max(0.0, seconds))

    def ended(self, channel: str, account_id: str, outcome: str, reason: str | None) -> None:
        """It ended in another outcome."""
        if outcome in self._plain:
            self._plain[outcome].labels(channel, account_id).inc()
        elif outcome in self._with_reason:
            self._with_reason[outcome].labels(channel, account_id, reason or "").inc()
