"""What nobody else will do: outboxes that a crash left, snoozes whose time has come, events that waited for a month.

Any number of processes may sweep at once. Not here: trimming of logs and blobs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from threadline_runtime.errors import TransientError
from threadline_runtime.failpoints import failpoint

from router.deriving import derive
from router.outbox import Outbox
from router.parts import Parts
from router.recording import record
from router.store.port import Outcome

__all__ = ["Sweeper"]

_OWED = timedelta(minutes=1)
_WAITED = timedelta(days=30)
_AT_ONCE = 200
_EVERY_SECONDS = 15.0
_log = structlog.stdlib.get_logger("threadline.router")


class Sweeper:
    """Sweeps now and then."""

    def __init__(self, parts: Parts, outbox: Outbox, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._parts = parts
        self._outbox = outbox
        self._sleep = sleep

    async def run(self) -> None:
        """Sweep until cancelled; a store that is away is tried again."""
        while True:
            try:
                await self.sweep()
            except TransientError as error:
                _log.warning("sweep failed", error_class=type(error).__name__)
            await self._sleep(_EVERY_SECONDS)

    async def sweep(self, *, owed_for: timedelta = _OWED) -> None:
        """One round of everything."""
        await self._outboxes(owed_for)
        await failpoint("router.sweeper.after_outboxes")
        await self._snoozes()
        await failpoint("router.sweeper.after_snoozes")
        await self._waiting()

    async def _outboxes(self, owed_for: timedelta) -> None:
        owed = await self._parts.timeline.owing(self._parts.clock() - owed_for, _AT_ONCE)
        if owed:
            await self._outbox.carry(owed)

    async def _snoozes(self) -> None:
        ids = await self._parts.timeline.snoozed_until(self._parts.clock(), _AT_ONCE)
        if ids:
            await derive(self._parts, ids)

    async def _waiting(self) -> None:
        """After thirty days without a target: ignored."""
        at = self._parts.clock()
        waiting = await self._parts.outcomes.waiting_since(at - _WAITED, _AT_ONCE)
        rows = [Outcome(w.made, w.event_id, w.account_id, w.channel, "ignored", "no_target", at) for w in waiting if w.made is not None]
        if rows:
            await record(self._parts, rows)
            await failpoint("router.sweeper.after_outcomes")
        if waiting:
            await self._parts.outcomes.wait_no_more(waiting)
