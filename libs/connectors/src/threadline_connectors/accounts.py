"""How each account does right now, for `check`, `/readyz` and the page of states; nothing here decides.

Not here: metrics (they count) and logs.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from threadline_connectors.pollers import Source

__all__ = ["AccountBoard", "AccountState", "Condition"]


class Condition(StrEnum):
    """What a source is doing."""

    WAITING = "waiting"  # another process holds it
    CONNECTING = "connecting"
    CATCHING_UP = "catching_up"
    LISTENING = "listening"
    AUTH_FAILED = "auth_failed"
    UNREACHABLE = "unreachable"
    MISCONFIGURED = "misconfigured"
    HELD_BACK = "held_back"  # bus, disk or parser processes of ours cannot work now
    FAULTY = "faulty"  # our own fault; the log has the trace
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class AccountState:
    """One source's condition; `reason` is one line for an operator."""

    source: Source
    condition: Condition
    reason: str | None
    since: datetime

    @property
    def healthy(self) -> bool:
        """Whether mail and messages come in, here or in another process."""
        return self.condition in {Condition.WAITING, Condition.CATCHING_UP, Condition.LISTENING}


class AccountBoard:
    """The states of all sources of a process."""

    def __init__(self) -> None:
        self._states: dict[Source, AccountState] = {}

    def put(self, source: Source, condition: Condition, now: datetime, reason: str | None = None) -> bool:
        """Set a state; True where it differs from the one before."""
        before = self._states.get(source)
        if before is not None and (before.condition, before.reason) == (condition, reason):
            return False
        self._states[source] = AccountState(source, condition, reason, now)
        return True

    def states(self) -> tuple[AccountState, ...]:
        """All states, by account and stream."""
        return tuple(self._states[source] for source in sorted(self._states, key=lambda s: (s.account_id, s.stream)))

    def state(self, source: Source) -> AccountState | None:
        """One state."""
        return self._states.get(source)
