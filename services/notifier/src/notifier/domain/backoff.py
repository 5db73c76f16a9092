"""How long a delivery waits before its next call. All of it follows from stored counts, so a schedule survives a restart."""

from datetime import timedelta

__all__ = ["account_pause", "is_time_to_give_up", "repeat_delay", "retry_delay"]

_SCHEDULE = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
_GIVE_UP_AFTER = timedelta(hours=48)
_GIVE_UP_DEFERRALS = 6
_REPEAT = timedelta(seconds=30)
_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=10)
_JITTER = 0.2


def retry_delay(deferrals: int, retry_after: timedelta | None, roll: float) -> timedelta:
    """The wait after the `deferrals`-th deferral; never shorter than the provider wished."""
    wished = retry_after if retry_after is not None else _SCHEDULE[min(deferrals, len(_SCHEDULE)) - 1]
    return _later(wished, roll)


def repeat_delay(at_once: bool, roll: float) -> timedelta:
    """The wait before a call whose outcome is unknown is repeated."""
    return timedelta(0) if at_once else _later(_REPEAT, roll)


def is_time_to_give_up(deferrals: int, since_first: timedelta) -> bool:
    """Two days of trying. The count keeps a notifier that was down for two days from giving up on its first call."""
    return since_first >= _GIVE_UP_AFTER and deferrals >= _GIVE_UP_DEFERRALS


def account_pause(failures: int, retry_after: timedelta | None, roll: float) -> timedelta:
    """The rest of a whole account after its `failures`-th failure in a row."""
    own = min(_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE)
    return _later(max(own, min(retry_after or own, _LONGEST_PAUSE)), roll)


def _later(delay: timedelta, roll: float) -> timedelta:
    return delay * (1 + _JITTER * roll)
