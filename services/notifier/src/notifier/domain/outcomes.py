"""What one provider call taught us, and which error class of a sender teaches what."""

from dataclasses import dataclass
from datetime import timedelta

from threadline_connectors.errors import AccountBusyError, AuthError, DeliveryError, PermanentError, RetryableError, UncertainError
from threadline_connectors.senders import UnknownOutcome

__all__ = ["Deferred", "Failed", "Outcome", "Refused", "Sent", "Unknown", "outcome_of"]

_REACTIONS = {"UnsupportedFeatureError": "unsupported", "WindowClosedError": "window_closed"}


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider accepted."""

    external_ids: tuple[str, ...]
    code: str | None = None
    reason: str | None = None
    reaction: str = "accepted"


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nothing was accepted; later it may be. `whole_account`: the other lanes need not even try."""

    reason: str
    code: str | None = None
    retry_after: timedelta | None = None
    whole_account: bool = False
    reaction: str = "retryable"


@dataclass(frozen=True, slots=True)
class Refused:
    """Our credentials were refused: the account stops, the delivery waits and counts no deferral."""

    reason: str
    code: str | None = None
    reaction: str = "auth"


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was accepted and nothing ever will be."""

    reason: str
    code: str | None = None
    reaction: str = "permanent"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Perhaps it was accepted. `at_once`: we crashed, so the provider needs no rest before the repeat."""

    reason: str
    may_repeat: bool
    code: str | None = None
    at_once: bool = False
    reaction: str = "uncertain"


Outcome = Sent | Deferred | Refused | Failed | Unknown


def outcome_of(error: DeliveryError, policy: UnknownOutcome) -> Outcome:
    """The outcome that a sender's error stands for."""
    match error:
        case RetryableError():
            return Deferred(error.reason, error.code, error.retry_after, isinstance(error, AccountBusyError))
        case AuthError():
            return Refused(error.reason, error.code)
        case PermanentError():
            return Failed(error.reason, error.code, _REACTIONS.get(type(error).__name__, "permanent"))
        case UncertainError():
            return Unknown(error.reason, policy is UnknownOutcome.REPEAT, error.code)
        case _:
            raise TypeError(f"a sender raised {type(error).__name__}, which names no reaction")
