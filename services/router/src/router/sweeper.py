"""What nobody else will do: outboxes that a crash left, snoozes whose time has come, events that waited for a month.

Any number of processes may sweep at once. Not here: trimming of logs and blobs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog
from threadline_runtime.errors import TransientError
from threadline_runtime.failpoints import failpoint

from router.deriving import derive
from router.outbox import Outbox
from router.parts import Parts
from router.recording import record
from router.store.port import Outcome, Owed

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
        """Sweep until cancelled; whatever goes wrong is told and tried again, for nobody else will do it."""
        while True:
            try:
                await self.sweep()
            except Exception as error:
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
        try:
            if owed:
                await self._outbox.carry(owed)
        except TransientError:
            raise
        except Exception:
            await self._one_by_one(owed)

    async def _one_by_one(self, owed: Sequence[Owed]) -> None:
        """One document whose outbox cannot be carried out must not hold up the others'."""
        for one in owed:
            try:
                await self._outbox.carry([one])
            except TransientError:
                raise
            except Exception as error:
                _log.exception("an outbox cannot be carried out", owner=one.owner, error_class=type(error).__name__)

    async def _snoozes(self) -> None:
        ids = await self._parts.timeline.snoozed_until(self._parts.clock(), _AT_ONCE)
        if ids:
            await derive(self._parts, ids)

    async def _waiting(self) -> None:
        """After thirty days without a target: ignored. What a dead worker left waiting after another had made the change is only let go."""
        at = self._parts.clock()
        waiting = await self._parts.outcomes.waiting_since(at - _WAITED, _AT_ONCE)
        named = [(w, w.made) for w in waiting if w.made is not None]
        told = await self._parts.outcomes.outcomes(made for _, made in named) if named else {}
        open_ = [(w, made) for w, made in named if made not in told or told[made].outcome in {"waiting", "dead-lettered"}]
        rows = [Outcome(made, w.event_id, w.account_id, w.channel, "ignored", "no_target", at) for w, made in open_]
        if rows:
            await record(self._parts, rows)
            await failpoint("router.sweeper.after_outcomes")
        if waiting:
            await self._parts.outcomes.wait_no_more(waiting)
