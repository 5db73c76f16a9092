"""What operators are told of each call: a port, so that workers know neither metrics nor logs."""

from typing import Protocol

from notifier.accounts import AccountStatus
from notifier.domain.delivery import Delivery

__all__ = ["Watcher"]


class Watcher(Protocol):
    """Told after each thing has happened; never asked."""

    def call_ended(self, delivery: Delivery, *, was_repeat: bool, seconds: float) -> None:
        """A call's outcome is stored."""
        ...

    def account_changed(self, status: AccountStatus) -> None:
        """An account stopped, rests, or is ready again."""
        ...

    def lane_failed(self, lane: str, error: Exception) -> None:
        """A fault of our own or of a dependency ended a worker's look at a lane; it will be looked at again."""
        ...
