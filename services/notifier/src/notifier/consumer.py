"""Takes outbound messages from the bus into the store; so a slow provider never blocks the bus.

Not here: sending.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from threadline_events import topics
from threadline_events.outbound import OutboundMessage
from threadline_runtime.bus.port import Message, Received, Subscription
from threadline_runtime.failpoints import failpoint

from notifier.domain.delivery import accept
from notifier.store.port import DeliveryStore

__all__ = ["GROUP", "OutboundConsumer"]

GROUP = "notifier"


class OutboundConsumer:
    """Inserts deliveries. `channels` are those that have a sender here; others have theirs elsewhere (web chat: its sockets)."""

    def __init__(
        self, store: DeliveryStore, channels: Collection[str], wake: Callable[[Collection[str]], None], now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._now = now
        self._channels = frozenset(channels)
        self._wake = wake

    def subscription(self) -> Subscription[OutboundMessage]:
        """What the bus runs."""
        return Subscription((topics.OUTBOUND,), GROUP, _decode, self.handle, probes=(self._probe,), service="notifier")

    async def handle(self, batch: Sequence[Message[OutboundMessage]]) -> None:
        """Insert what is new, mark the lanes that have work, wake their accounts. The same batch may come again."""
        accepted = [accept(one.body, one.record.position.offset) for one in batch if one.body.channel in self._channels]
        if not accepted:
            return
        await failpoint("notifier.consumer.before_insert")
        stored = await self._store.insert(accepted)
        await failpoint("notifier.consumer.after_insert")
        lanes = {one.lane: one.account_id for one in stored if one.is_open}
        if lanes:
            await self._store.raise_due(lanes, self._now())
            await failpoint("notifier.consumer.after_due")
            self._wake(set(lanes.values()))

    async def _probe(self) -> None:
        """Whether the store answers."""
        await self._store.lane("")


def _decode(record: Received) -> OutboundMessage:
    return OutboundMessage.model_validate_json(record.value or b"")
