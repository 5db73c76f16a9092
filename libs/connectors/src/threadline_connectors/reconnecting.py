"""What an error of a source means and how long to wait before the next round.

Not here: waiting itself, and deliveries (the notifier has its own schedule).
"""

from collections.abc import Callable
from dataclasses import dataclass

from threadline_runtime.errors import ConfigurationError, ThreadlineError, TransientError

from threadline_connectors.accounts import Condition
from threadline_connectors.errors import AuthError, RetryableError

__all__ = ["Backoff", "Verdict", "judge"]

_SHORT = (1.0, 300.0)
_LONG = (60.0, 900.0)
_OURS = (1.0, 10.0)
"""First and longest wait in seconds. Refused logins wait long: providers lock accounts that knock too often.

What is our own (bus, database, disk) is asked often, and all has to flow again soon after it is back.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The condition an error puts a source in, one line of reason, and the waits that go with it."""

    condition: Condition
    reason: str
    first: float
    longest: float
    at_least: float = 0.0


def judge(error: Exception) -> Verdict:
    """What an error means. An unknown one is a fault of our own: its text may hold a customer's words and is not shown."""
    if isinstance(error, AuthError | ConfigurationError):
        condition = Condition.AUTH_FAILED if isinstance(error, AuthError) else Condition.MISCONFIGURED
        return Verdict(condition, str(error), *_LONG)
    if isinstance(error, RetryableError):
        wish = error.retry_after.total_seconds() if error.retry_after is not None else 0.0
        return Verdict(Condition.UNREACHABLE, str(error), *_SHORT, at_least=wish)
    if isinstance(error, TransientError):
        return Verdict(Condition.HELD_BACK, str(error), *_OURS)
    if isinstance(error, OSError):
        return Verdict(Condition.HELD_BACK, f"{error.strerror or type(error).__name__}: look at disk and memory of this machine", *_OURS)
    if isinstance(error, ThreadlineError):
        return Verdict(Condition.FAULTY, str(error), *_SHORT)
    return Verdict(Condition.FAULTY, f"an error of our own: {type(error).__name__}; see the log", *_SHORT)


class Backoff:
    """Doubling waits with jitter, from half of the wait to the whole, so that many accounts do not knock at once."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0

    def seconds(self, verdict: Verdict) -> float:
        """How long to wait after one more failure."""
        full = min(verdict.first * 2.0 ** min(self._failures, 20), verdict.longest)
        self._failures += 1
        return max(full * (0.5 + 0.5 * self._random()), verdict.at_least)

    def reset(self) -> None:
        """Something went well: the next wait is the first again."""
        self._failures = 0
