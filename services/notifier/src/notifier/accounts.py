"""An account as its workers see it: its sender, its rates, and whether it may call. Nothing here is stored.

Not here: configuration (`app`) and deliveries.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from threadline_connectors.senders import Sender, UnknownOutcome

from notifier.domain.rates import AccountGate, Limits

__all__ = ["AccountCondition", "AccountStatus", "SendingAccount"]


class AccountCondition(StrEnum):
    """How sending does."""

    READY = "ready"
    RESTING = "resting"  # unreachable or throttled; tries again by itself
    AUTH_FAILED = "auth_failed"  # stopped; its deliveries wait


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account's condition; `reason` is one line for an operator."""

    account_id: str
    condition: AccountCondition
    reason: str | None = None


@dataclass(slots=True)
class SendingAccount:
    """One configured account."""

    account_id: str
    channel: str
    brand: str
    sender: Sender
    policy: UnknownOutcome
    limits: Limits
    gate: AccountGate = field(init=False)
    condition: AccountCondition = AccountCondition.READY
    reason: str | None = None

    def __post_init__(self) -> None:
        self.gate = AccountGate(self.limits)

    @property
    def status(self) -> AccountStatus:
        """What an operator sees."""
        return AccountStatus(self.account_id, self.condition, self.reason)

    @property
    def is_stopped(self) -> bool:
        """Whether no call may be opened until the login works again."""
        return self.condition is AccountCondition.AUTH_FAILED

    def put(self, condition: AccountCondition, reason: str | None = None) -> bool:
        """Set the condition; True where it differs from the one before."""
        before, self.condition, self.reason = self.condition, condition, reason
        return before is not condition
