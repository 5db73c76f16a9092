"""What a provider's refusal means for us: the type of the error is the reaction (design section 9).

Not here: faults of our own dependencies (`threadline_runtime.errors`), which pause and never reach a delivery.
"""

from datetime import timedelta

from threadline_runtime.errors import ThreadlineError

__all__ = [
    "AccountBusyError",
    "AuthError",
    "DeliveryError",
    "PayloadError",
    "PermanentError",
    "RetryableError",
    "UncertainError",
    "UnsupportedFeatureError",
    "WindowClosedError",
]


class DeliveryError(ThreadlineError):
    """A provider call that did not succeed.

    `code` is the provider's own (an SMTP status, an HTTP status, a Graph code); the text is one line for an operator,
    never a customer's words or a secret.
    """

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class RetryableError(DeliveryError):
    """Nothing was accepted; the same call later may succeed. `retry_after` is the provider's wish, None: our own backoff."""

    def __init__(self, reason: str, *, code: str | None = None, retry_after: timedelta | None = None) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after


class AccountBusyError(RetryableError):
    """As RetryableError, and true of the whole account: unreachable or throttled, so its other lanes wait too."""


class PermanentError(DeliveryError):
    """Nothing was accepted and nothing ever will be: the delivery fails with this reason."""


class WindowClosedError(PermanentError):
    """The provider takes free text only for a time after the customer's last message, and that time is over."""


class UnsupportedFeatureError(PermanentError):
    """The message holds what the channel cannot carry; said, never dropped in silence."""


class AuthError(DeliveryError):
    """Our credentials are refused: the account stops and alerts, its deliveries wait."""


class UncertainError(DeliveryError):
    """The provider may or may not have accepted. The sender's policy (`UnknownOutcome`) says what follows."""


class PayloadError(ThreadlineError):
    """An authenticated payload that a connector cannot read; `code` becomes the reason of the rejected intake."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
