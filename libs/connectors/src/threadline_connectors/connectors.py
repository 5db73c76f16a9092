"""The inbound half of a channel: payload -> what the provider said; pure, no I/O, no clock.

Not here: HTTP, polling, publishing, retry, metrics and stamping; the hosts own them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from threadline_connectors.capabilities import Capabilities
from threadline_connectors.said import Said
from threadline_connectors.settings import ChannelAccount

__all__ = ["Connector", "InboundChannel", "WebhookConnector", "WebhookRequest"]

PayloadT_contra = TypeVar("PayloadT_contra", contravariant=True)


class Connector(Protocol[PayloadT_contra]):
    """Reads one channel's payloads. One instance an account; it may be shared by tasks."""

    @property
    def name(self) -> str:
        """The channel."""
        ...

    @property
    def version(self) -> str:
        """Which code read the payload; raised when the same payload would read otherwise."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the channel can carry."""
        ...

    def parse(self, payload: PayloadT_contra) -> Sequence[Said]:
        """Everything the payload says, in its order; an empty list says on purpose that it says nothing.

        The same payload reads the same, always. Raises PayloadError, and nothing else, where it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class InboundChannel:
    """What a module in `<service>.connectors`, or an entry point in `threadline.connectors`, exports as `CHANNEL`."""

    name: str
    capabilities: Capabilities
    account_model: type[ChannelAccount]


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A provider's request, bytes untouched; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class WebhookConnector(Connector[WebhookRequest], Protocol):
    """A connector whose payloads are pushed to us."""

    def verify(self, request: WebhookRequest, now: datetime) -> bool:
        """Whether the request is the provider's: over the raw bytes, in constant time, fresh at `now`."""
        ...
