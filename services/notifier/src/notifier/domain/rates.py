"""How fast an account may send: token buckets of the account and of each native thread, and its pauses.

Times are seconds of a monotonic clock. Not here: waiting; the dispatcher does that.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from notifier.domain import backoff

__all__ = ["AccountGate", "Limited", "Limits", "TokenBucket"]

_THREADS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider bears from one account: calls at once, and calls a minute (None: no limit is known)."""

    calls_at_once: int = 3
    per_minute: int | None = None
    thread_per_minute: int | None = None


@runtime_checkable
class Limited(Protocol):
    """An account model that knows its provider's limits."""

    @property
    def limits(self) -> Limits:
        """The limits of this account."""
        ...


@dataclass(slots=True)
class TokenBucket:
    """`per_minute` calls a minute, as many at once after a rest."""

    per_minute: int
    tokens: float = field(init=False)
    filled_at: float | None = None

    def __post_init__(self) -> None:
        self.tokens = float(self.per_minute)

    def wait(self, now: float) -> float:
        """Seconds until a call may start; 0 means now."""
        self._fill(now)
        return max(0.0, (1 - self.tokens) * 60 / self.per_minute)

    def take(self, now: float) -> None:
        """Count a call."""
        self._fill(now)
        self.tokens -= 1

    def _fill(self, now: float) -> None:
        if self.filled_at is not None:
            self.tokens = min(float(self.per_minute), self.tokens + (now - self.filled_at) * self.per_minute / 60)
        self.filled_at = now


class AccountGate:
    """Whether an account may call its provider now."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bucket = TokenBucket(limits.per_minute) if limits.per_minute else None
        self._threads: OrderedDict[str, TokenBucket] = OrderedDict()
        self._paused_until = 0.0
        self._failures = 0

    def wait(self, now: float) -> float:
        """Seconds until the account may open a call; 0 means now."""
        rest = max(0.0, self._paused_until - now)
        return max(rest, self._bucket.wait(now)) if self._bucket else rest

    def wait_of_thread(self, lane: str, now: float) -> float:
        """Seconds until this native thread may; 0 means now."""
        bucket = self._threads.get(lane)
        return bucket.wait(now) if bucket else 0.0

    def take(self, lane: str, now: float) -> None:
        """Count a call in this native thread."""
        if self._bucket:
            self._bucket.take(now)
        if self._limits.thread_per_minute:
            bucket = self._threads.setdefault(lane, TokenBucket(self._limits.thread_per_minute))
            self._threads.move_to_end(lane)
            bucket.take(now)
            if len(self._threads) > _THREADS_KEPT:
                self._threads.popitem(last=False)

    def pause(self, now: float, retry_after: timedelta | None, roll: float) -> None:
        """The provider wants rest, or cannot be reached. Calls that failed together count once."""
        if self._paused_until > now:
            return
        self._failures += 1
        self._paused_until = now + backoff.account_pause(self._failures, retry_after, roll).total_seconds()

    def answered(self) -> None:
        """The provider took a call for what it was: the next pause starts short again."""
        self._failures = 0
