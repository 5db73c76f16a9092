"""The router's consumers: which group reads which topic, how a record is read, what becomes of a dead letter.

Not here: handling (journal, pipeline, commands, amending).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from threadline_events import topics
from threadline_events.commands import AnyCommand, parse_command
from threadline_events.deliveries import AnyDelivery, DeskPosted, parse_delivery
from threadline_events.inbound import InboundEvent
from threadline_runtime.bus.port import Message, Received, SetAside, Subscription
from threadline_runtime.failpoints import failpoint

from router.amending import Amending, waiting_delivery
from router.by_headers import outcome_by_headers
from router.commands import Commands
from router.journal import Journal, read_intake
from router.parts import Parts
from router.pipeline import Pipeline
from router.recording import record

__all__ = ["GROUPS", "Consumers"]

GROUPS = {
    topics.INTAKES: "router-journal",
    topics.INBOUND: "router-inbound",
    topics.COMMANDS: "router-commands",
    topics.DELIVERIES: "router-deliveries",
}
"""Topic to the group that works it off."""
_COMMANDS = 100
"""They are carried out one after the other, and a batch must end while a stop or a rebalance waits for it."""
_JOURNAL_SECONDS = 0.25
"""The journal is read when somebody asks for a payload or for the books; record by record it cost as much as the entries."""


@dataclass(frozen=True, slots=True)
class Consumers:
    """The four subscriptions of a router."""

    parts: Parts
    journal: Journal
    pipeline: Pipeline
    commands: Commands
    amending: Amending
    probes: Sequence[Callable[[], Awaitable[None]]] = ()

    def all(self) -> tuple[Subscription[Any], ...]:
        """To be consumed each on its own."""
        return (
            replace(self._subscription(topics.INTAKES, read_intake, self.journal.handle), gather_seconds=_JOURNAL_SECONDS),
            self._subscription(topics.INBOUND, _read_event, self.pipeline.handle, self._on_dead_letters),
            replace(
                self._subscription(topics.COMMANDS, _read_command, self.commands.handle, self._on_dead_letters),
                max_records=_COMMANDS,
            ),
            self._subscription(topics.DELIVERIES, _read_delivery, self._on_deliveries),
        )

    def _subscription(
        self,
        topic: str,
        decode: Callable[[Received], Any],
        handle: Callable[[Sequence[Message[Any]]], Awaitable[None]],
        on_dead_letters: Callable[[Sequence[SetAside]], Awaitable[None]] | None = None,
    ) -> Subscription[Any]:
        return Subscription(
            topics=(topic,),
            group=GROUPS[topic],
            decode=decode,
            handle=handle,
            on_dead_letters=on_dead_letters,
            probes=tuple(self.probes),
        )

    async def _on_deliveries(self, batch: Sequence[Message[AnyDelivery]]) -> None:
        """Reports of senders in one go, then desk posts."""
        reports = [waiting_delivery(m.body, self.parts) for m in batch if not isinstance(m.body, DeskPosted)]
        if reports:
            await self.amending.take(reports)
        await failpoint("router.consuming.after_reports")
        for message in batch:
            if isinstance(message.body, DeskPosted):
                await self.commands.posted(message.body.desk_id, message.body.reference, message.body.conversation_id)

    async def _on_dead_letters(self, aside: Sequence[SetAside]) -> None:
        """Even a record that cannot be read is accounted for, by its headers."""
        at = self.parts.clock()
        told = (outcome_by_headers(each.record, "dead-lettered", each.letter.error_class, at) for each in aside)
        outcomes = [one for one in told if one is not None]
        if outcomes:
            await record(self.parts, outcomes)


def _read_event(received: Received) -> InboundEvent:
    return InboundEvent.model_validate_json(received.value or b"")


def _read_command(received: Received) -> AnyCommand:
    return parse_command(received.value or b"")


def _read_delivery(received: Received) -> AnyDelivery:
    return parse_delivery(received.value or b"")
