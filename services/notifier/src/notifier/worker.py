"""Works off one lane: claims it by a lease, does what is next until it must wait or nothing is left.

Not here: which lanes are due and how many at once (`dispatcher`).
"""

from datetime import timedelta
from enum import Enum, auto
from typing import Protocol

from threadline_runtime.failpoints import failpoint

from notifier.accounts import SendingAccount
from notifier.calling import Caller
from notifier.clock import Clock
from notifier.domain.delivery import Delivery
from notifier.domain.lane import Call, Done, Lane, Report, Resolve, Wait, next_step
from notifier.reporting import Reporter
from notifier.store.port import DeliveryStore

__all__ = ["Hold", "LaneLeases", "LaneWorker", "Visit"]

_STEPS = 50
"""After so many steps others get the place; the lane stays due."""
_READ = 50


class Hold(Protocol):
    """A lease that this process holds."""

    @property
    def token(self) -> int:
        """Higher than that of every holder before."""
        ...

    async def release(self) -> None:
        """Give it back."""
        ...


class LaneLeases(Protocol):
    """Where leases on lanes come from."""

    async def try_acquire(self, lane: str) -> Hold | None:
        """The lane's lease, or None while another process holds it."""
        ...


class Visit(Enum):
    """How a worker left a lane."""

    LEFT = auto()  # nothing to do now; the store says when to come again
    TAKEN = auto()  # another process works it off
    HELD_BACK = auto()  # the account may not call now


class LaneWorker:
    """Works off lanes of one account."""

    def __init__(
        self, account: SendingAccount, store: DeliveryStore, leases: LaneLeases, caller: Caller, reporter: Reporter, clock: Clock
    ) -> None:
        self._account = account
        self._store = store
        self._leases = leases
        self._caller = caller
        self._reporter = reporter
        self._clock = clock

    async def visit(self, lane_key: str) -> Visit:
        """Look at a lane. Raises TransientError when store or bus cannot be used now; then it is looked at again."""
        hold = await self._leases.try_acquire(lane_key)
        if hold is None:
            return Visit.TAKEN
        try:
            await failpoint("notifier.worker.after_claim")
            return await self._work_off(lane_key, hold.token)
        finally:
            await hold.release()

    async def _work_off(self, lane_key: str, token: int) -> Visit:
        for _ in range(_STEPS):
            # `due` is read before the deliveries: what comes after this read raises it above what is cleared.
            lane = await self._store.lane(lane_key)
            if lane is None:
                return Visit.LEFT
            await failpoint("notifier.worker.after_due_read")
            visit = await self._step(lane, token)
            if visit is not None:
                return visit
        return Visit.LEFT

    async def _step(self, lane: Lane, token: int) -> Visit | None:
        now = self._clock.now()
        match next_step(await self._store.open_in_lane(lane.key, _READ), now):
            case Report(delivery):
                await self._reporter.report(delivery)
            case Resolve(delivery):
                await self._caller.resolve(delivery, token)
            case Wait(until):
                await self._store.postpone(lane, until)
                await failpoint("notifier.worker.after_postpone")
                return Visit.LEFT
            case Done():
                cleared = await self._store.clear_due(lane)
                await failpoint("notifier.worker.after_clear")
                return Visit.LEFT if cleared else None
            case Call(delivery):
                return await self._call(lane, delivery, token)
        return None

    async def _call(self, lane: Lane, delivery: Delivery, token: int) -> Visit | None:
        monotonic = self._clock.monotonic()
        if self._account.is_stopped or self._account.gate.wait(monotonic) > 0:
            return Visit.HELD_BACK
        rest = self._account.gate.wait_of_thread(lane.key, monotonic)
        if rest > 0:
            await self._store.postpone(lane, self._clock.now() + timedelta(seconds=rest))
            return Visit.LEFT
        return None if await self._caller.call(delivery, token) else Visit.TAKEN
