"""The outbound half of a channel: an outbound message -> one provider call.

Not here: lanes, retries, rates and reports; the notifier owns them. A sender never retries by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from threadline_events.outbound import OutboundMessage

from threadline_connectors.capabilities import Capabilities
from threadline_connectors.settings import ChannelAccount

__all__ = ["BlobReader", "SendContext", "SendResult", "Sender", "SenderChannel", "SenderEnvironment", "UnknownOutcome"]

AccountT = TypeVar("AccountT", bound=ChannelAccount)


class UnknownOutcome(StrEnum):
    """What follows where it is not known whether the provider accepted."""

    REPEAT = "repeat"  # the same call under the same id again: the provider or the receiver can tell (counted as a repeat)
    LOOK = "look"  # ask the provider by `Sender.look`
    HOLD = "hold"  # nobody can tell: `uncertain`, a person decides


@dataclass(frozen=True, slots=True)
class SendContext:
    """What one try knows beside the message. `try_number` counts from 1 within the attempt; `repeat` after an unknown outcome."""

    now: datetime
    try_number: int = 1
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class SendResult:
    """The provider accepted. `external_ids` are its ids for the message, the one that replies will name first."""

    external_ids: tuple[str, ...]


class Sender(Protocol):
    """One account's sender. Safe for several sends at once; holds its connections until `close`."""

    async def send(self, message: OutboundMessage, context: SendContext) -> SendResult:
        """One provider call. Raises only the classes of `threadline_connectors.errors`.

        UncertainError wherever the provider may have accepted: never RetryableError once the payload may have been taken.
        """
        ...

    async def look(self, message: OutboundMessage, context: SendContext) -> SendResult | None:
        """Whether an earlier try arrived, for the policy `look`: its result, or None if it certainly did not. Others return None."""
        ...

    async def check(self) -> None:
        """Log in without sending anything; raises AuthError, RetryableError or PermanentError with one clear line."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


class BlobReader(Protocol):
    """Where a sender reads attachments by key (`threadline_runtime.blobs` fits)."""

    async def get(self, key: str) -> bytes:
        """The whole blob; raises where it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class SenderEnvironment:
    """What the host gives every sender."""

    blobs: BlobReader


@dataclass(frozen=True, slots=True)
class SenderChannel(Generic[AccountT]):
    """What a module in `notifier.senders`, or an entry point in `threadline.senders`, exports as `CHANNEL`."""

    name: str
    capabilities: Capabilities
    unknown_outcome: UnknownOutcome
    account_model: type[AccountT]
    build: Callable[[AccountT, SenderEnvironment], Sender]
