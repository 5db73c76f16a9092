"""What is counted of polled sources, in the process's metrics (interface section 4).

Not here: conditions and reasons (`accounts`); a metric holds no text.
"""

from datetime import datetime

from threadline_runtime.metrics import Metrics

from threadline_connectors.pollers import Source

__all__ = ["SourceMetrics"]


class SourceMetrics:
    """Counts for all sources of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lags: dict[str, dict[str, float]] = {}

    def taken(self, channel: str, account_id: str, count: int) -> None:
        """Intakes that became durable, rejected ones included."""
        self._metrics.intakes.labels(channel, account_id).inc(count)

    def rejected(self, channel: str, account_id: str, reason: str) -> None:
        """A payload whose rejection became durable."""
        self._metrics.rejected.labels(channel, account_id, reason).inc()

    def lag(self, source: Source, seconds: float) -> None:
        """Age of the oldest thing at the source that is not on the bus; an account shows that of its worst stream."""
        streams = self._lags.setdefault(source.account_id, {})
        streams[source.stream] = max(seconds, 0.0)
        self._metrics.source_lag.labels(source.account_id).set(max(streams.values()))

    def succeeded(self, source: Source, now: datetime) -> None:
        """The source was reached, and what it gave is durable."""
        self._metrics.last_success.labels(source.account_id).set(now.timestamp())
