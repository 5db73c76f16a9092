"""Watches the consumers of a process: counts what they do, knows which of them wait, and whether they still look for records."""

from collections.abc import Callable, Mapping

from threadline_runtime.bus.port import DeadLetter, Received
from threadline_runtime.metrics import Metrics

__all__ = ["WatchedConsumers"]

_SILENT_SECONDS = 600.0


class WatchedConsumers:
    """The `ConsumerWatch` of a process."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float], accounts: Mapping[str, str]) -> None:
        """`accounts`: each configured account and its channel; only these become labels, whatever a record's headers say."""
        self._metrics = metrics
        self._accounts = accounts
        self._monotonic = monotonic
        self._waiting: dict[str, str] = {}
        self._seen: dict[str, float] = {}

    def batch_done(self, group: str, records: int, seconds: float) -> None:
        """See ConsumerWatch."""
        self._metrics.batch_seconds.labels(group).observe(seconds)
        self._waiting.pop(group, None)
        self._alive(group)

    def dead_lettered(self, group: str, record: Received, letter: DeadLetter) -> None:
        """See ConsumerWatch."""
        named = record.headers.get("ce_account", b"").decode("utf-8", "replace")
        account = named if named in self._accounts else ""
        self._metrics.dead_lettered.labels(self._accounts.get(account, ""), account, letter.error_class).inc()
        self._alive(group)

    def retrying(self, group: str, error_class: str) -> None:
        """See ConsumerWatch."""
        self._metrics.consumer_retries.labels(group).inc()
        self._waiting[group] = error_class
        self._alive(group)

    def polled(self, group: str) -> None:
        """See ConsumerWatch: who looks for records waits for nothing, even where none come for long."""
        self._waiting.pop(group, None)
        self._alive(group)

    async def readiness(self) -> str | None:
        """Why intake waits, if it does; for `/readyz`."""
        return "; ".join(f"{group} waits: {error}" for group, error in sorted(self._waiting.items())) or None

    def liveness(self) -> str | None:
        """Which consumer has not shown itself for ten minutes, if any; for `/livez`."""
        now = self._monotonic()
        silent = [group for group, at in sorted(self._seen.items()) if now - at > _SILENT_SECONDS]
        return f"no sign of {', '.join(silent)}" if silent else None

    def _alive(self, group: str) -> None:
        self._seen[group] = self._monotonic()
