"""Gives the due lanes of one account to workers: so many at once, never two workers to one lane, never faster than the account may.

Each account has a dispatcher of its own, so a slow or failing account holds up no other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from threadline_connectors.errors import DeliveryError
from threadline_runtime.failpoints import failpoint

from notifier.accounts import AccountCondition, SendingAccount
from notifier.clock import Clock
from notifier.store.port import DeliveryStore
from notifier.sweeping import sweep
from notifier.watching import Watcher
from notifier.worker import LaneWorker, Visit

__all__ = ["AccountDispatcher"]

_POLL = 5.0
"""Seconds after which marks of other processes are seen; those of this process wake at once."""
_TAKEN_REST = 2.0
_FAULT_REST = 5.0
_FIRST_RECHECK = 60.0
_LONGEST_RECHECK = 3600.0
_SWEEP = 60.0
_DRAIN = 15.0


class AccountDispatcher:
    """Runs one account until it is cancelled."""

    def __init__(self, account: SendingAccount, store: DeliveryStore, worker: LaneWorker, clock: Clock, watcher: Watcher) -> None:
        self._account = account
        self._store = store
        self._worker = worker
        self._clock = clock
        self._watcher = watcher
        self._woken = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}
        self._next_sweep = 0.0
        self._rechecks = 0
        self._recheck_at: float | None = None

    @property
    def account(self) -> SendingAccount:
        """Whose lanes these are."""
        return self._account

    def wake(self) -> None:
        """There is something to look at now."""
        self._woken.set()

    async def run(self) -> None:
        """Dispatch until cancelled; then calls under way get time to end, as a call that is cut has an unknown outcome."""
        try:
            while True:
                self._woken.clear()
                await self._sleep(await self._guarded(self._round))
        finally:
            await self._drain()

    async def _round(self) -> float:
        """Start what may start; the seconds after which to look again."""
        if self._account.is_stopped:
            return await self._recheck()
        now = self._clock.monotonic()
        held_back = self._account.gate.wait(now)
        if held_back > 0:
            return held_back
        self._resting = {lane: until for lane, until in self._resting.items() if until > now}
        free = self._account.limits.calls_at_once - len(self._running)
        if free <= 0:
            return _POLL
        skipped = len(self._running) + len(self._resting)
        if now >= self._next_sweep:
            await sweep(self._store, self._account.account_id, self._clock.now())
            await failpoint("notifier.dispatcher.after_sweep")
            self._next_sweep = now + _SWEEP
        asked = self._clock.now()
        due = await self._store.due_lanes(self._account.account_id, asked, free + skipped)
        await failpoint("notifier.dispatcher.after_due_lanes")
        startable = [lane.key for lane in due if lane.key not in self._running and lane.key not in self._resting]
        for lane in startable[:free]:
            self._start(lane)
        return await self._until_next(now, asked)

    async def _until_next(self, now: float, asked: datetime) -> float:
        # After the moment that was asked for: a lane that falls due while we look must not wait for the poll.
        next_due = await self._store.next_due_at(self._account.account_id, asked)
        waits = [_POLL, *(until - now for until in self._resting.values())]
        if next_due is not None:
            waits.append((next_due - self._clock.now()).total_seconds())
        return max(min(waits), 0.0)

    def _start(self, lane: str) -> None:
        task = asyncio.get_running_loop().create_task(self._visit(lane))
        self._running[lane] = task
        task.add_done_callback(lambda _: self._ended(lane))

    def _ended(self, lane: str) -> None:
        self._running.pop(lane, None)
        self._woken.set()

    async def _visit(self, lane: str) -> None:
        try:
            visit = await self._worker.visit(lane)
        except Exception as error:  # the lane stays due and is looked at again; the others go on
            self._watcher.faulted(self._account.account_id, error)
            self._resting[lane] = self._clock.monotonic() + _FAULT_REST
            return
        if visit is Visit.TAKEN:
            self._resting[lane] = self._clock.monotonic() + _TAKEN_REST

    async def _recheck(self) -> float:
        """A stopped account tries its login again, ever more seldom: providers lock accounts that knock too often."""
        now = self._clock.monotonic()
        if self._recheck_at is None:
            self._recheck_at = now + _FIRST_RECHECK
        if now < self._recheck_at:
            return self._recheck_at - now
        if await self._login_works():
            self._recheck_at, self._rechecks = None, 0
            self._account.put(AccountCondition.READY)
            self._watcher.account_changed(self._account.status)
            return 0.0
        self._rechecks += 1
        self._recheck_at = now + min(_FIRST_RECHECK * 2.0**self._rechecks, _LONGEST_RECHECK)
        return self._recheck_at - now

    async def _login_works(self) -> bool:
        try:
            await self._account.sender.check()
        except DeliveryError:
            return False
        except Exception as error:  # our own fault must not knock at the provider any faster
            self._watcher.faulted(self._account.account_id, error)
            return False
        return True

    async def _guarded(self, step: Callable[[], Awaitable[float]]) -> float:
        try:
            return await step()
        except Exception as error:  # a dependency's fault, or our own: neither may end the account
            self._watcher.faulted(self._account.account_id, error)
            return _FAULT_REST

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):  # `wait_for` of Python 3.11 loses a cancel that comes together with the wake
                await self._woken.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_DRAIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._account.sender.close()
