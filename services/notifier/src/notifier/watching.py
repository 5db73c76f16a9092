"""What operators are told of each call: a port, so that workers know neither metrics nor logs."""

from typing import Protocol

from notifier.accounts import AccountStatus
from notifier.domain.delivery import Delivery

__all__ = ["Watcher"]


class Watcher(Protocol):
    """Told after each thing has happened; never asked."""

    def call_opened(self, delivery: Delivery, *, is_repeat: bool) -> None:
        """A call is about to be made."""
        ...

    def settled(self, before: Delivery, after: Delivery) -> None:
        """What a call taught is stored."""
        ...

    def account_changed(self, status: AccountStatus) -> None:
        """An account stopped, rests, or is ready again."""
        ...

    def faulted(self, account_id: str, error: Exception) -> None:
        """A fault of our own or of a dependency ended a step; it will be taken again."""
        ...
