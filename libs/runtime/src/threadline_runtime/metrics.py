"""All metrics of Threadline, declared once (interface section 4). Labels hold names from the configuration, never a person's data.

Not here: serving them (`ops`).
"""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from threadline_runtime.bus.port import PartitionProgress

__all__ = ["Metrics"]

_ACCOUNT = ("channel", "account")
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 1800, 7200)


class Metrics:
    """The metrics of one process in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter("threadline_" + name, text, tuple(labels), registry=registry)

        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge("threadline_" + name, text, tuple(labels), registry=registry)

        def histogram(name: str, text: str, labels: Iterable[str] = (), buckets: tuple[float, ...] = _FAST) -> Histogram:
            return Histogram("threadline_" + name, text, tuple(labels), registry=registry, buckets=buckets)

        self.intakes = counter("intakes_total", "Authenticated payloads that became durable on the bus.", _ACCOUNT)
        self.received = counter("events_received_total", "Inbound events the router has read.", _ACCOUNT)
        self.stored = counter("events_stored_total", "Events that became a timeline entry.", _ACCOUNT)
        self.applied = counter("events_applied_total", "Edits, receipts and reactions applied to their entry.", _ACCOUNT)
        self.duplicate = counter("events_duplicate_total", "Events whose entry was there already.", _ACCOUNT)
        self.ignored = counter("events_ignored_total", "Events ignored on purpose.", (*_ACCOUNT, "reason"))
        self.rejected = counter("events_rejected_total", "Payloads or events refused on purpose.", (*_ACCOUNT, "reason"))
        self.dead_lettered = counter("events_dead_lettered_total", "Records set aside.", (*_ACCOUNT, "reason"))
        self.audit_missing = gauge("audit_missing", "Events without an outcome at the last audit; anything but 0 is a loss.")
        self.source_lag = gauge("source_lag_seconds", "Age of the oldest thing at the source that is not yet on the bus.", ("account",))
        self.last_success = gauge(
            "connector_last_success_timestamp_seconds", "When the source was last reached without an error.", ("account",)
        )
        self.consumer_lag = gauge("consumer_lag", "Records the group has not passed.", ("topic", "group", "partition"))
        self.oldest_unprocessed = gauge(
            "oldest_unprocessed_seconds", "Age of the oldest record the group has not passed.", ("topic", "group")
        )
        self.batch_seconds = histogram("batch_seconds", "From taking a batch to its commit.", ("group",))
        self.consumer_retries = counter("consumer_retries_total", "Pauses of a group because something it needs failed.", ("group",))
        self.deliveries = counter("deliveries_total", "Deliveries that reached a state.", (*_ACCOUNT, "state"))
        self.delivery_repeats = counter("delivery_repeats_total", "Calls repeated because their outcome was unknown.", _ACCOUNT)
        self.delivery_seconds = histogram("delivery_seconds", "From queued to sent.", _ACCOUNT, _SLOW)
        self.timeline_latency = histogram(
            "timeline_latency_seconds", "From its time at the source until it can be read in the timeline.", _ACCOUNT, _SLOW
        )
        self.webhook_seconds = histogram("webhook_request_seconds", "Answering a provider's webhook.", ("channel", "status"))
        self._build = Info("threadline_build", "What runs here.", registry=registry)
        ProcessCollector(registry=registry)

    def built(self, service: str, version: str) -> None:
        """Say what runs here."""
        self._build.info({"service": service, "version": version})

    def progressed(self, group: str, parts: Iterable[PartitionProgress], now: datetime) -> None:
        """Show how far behind a group is."""
        oldest: dict[str, float] = {}
        for part in parts:
            self.consumer_lag.labels(part.topic, group, str(part.partition)).set(part.end - part.committed)
            age = 0.0 if part.oldest_unprocessed is None else max(0.0, (now - part.oldest_unprocessed).total_seconds())
            oldest[part.topic] = max(age, oldest.get(part.topic, 0.0))
        for topic, age in oldest.items():
            self.oldest_unprocessed.labels(topic, group).set(age)
