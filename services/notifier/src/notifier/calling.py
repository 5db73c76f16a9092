"""One call of a provider: opened in the store before it is made, closed with what it taught.

Not here: which delivery is next (`domain.lane`) and who may look at a lane (`worker`).
"""

import asyncio

from threadline_connectors.errors import DeliveryError
from threadline_connectors.senders import SendContext, UnknownOutcome
from threadline_runtime.errors import TransientError
from threadline_runtime.failpoints import failpoint

from notifier.accounts import AccountCondition, SendingAccount
from notifier.clock import Clock
from notifier.domain.delivery import Delivery, open_call, settle
from notifier.domain.outcomes import Deferred, Failed, Outcome, Refused, Sent, Unknown, outcome_of
from notifier.store.port import DeliveryStore
from notifier.watching import Watcher

__all__ = ["Caller"]

_STORE_PAUSE = 0.5


class Caller:
    """Makes calls for one account."""

    def __init__(self, account: SendingAccount, store: DeliveryStore, clock: Clock, watcher: Watcher) -> None:
        self._account = account
        self._store = store
        self._clock = clock
        self._watcher = watcher

    async def call(self, delivery: Delivery, token: int) -> bool:
        """Send one delivery, under the lane's lease `token`. False where another worker was first, or holds a later lease."""
        if delivery.token > token:
            return False
        opened = open_call(delivery, token, self._clock.now())
        await failpoint("notifier.calling.before_open")
        if not await self._store.replace(opened):
            return False
        await failpoint("notifier.calling.after_open")
        self._account.gate.take(opened.lane, self._clock.monotonic())
        self._watcher.call_opened(opened, is_repeat=opened.repeats > delivery.repeats)
        outcome = await self._ask(opened)
        await failpoint("notifier.calling.after_call")
        self._heed(outcome)
        await self._record(opened, outcome, token)
        await failpoint("notifier.calling.after_record")
        return True

    async def resolve(self, delivery: Delivery, token: int) -> None:
        """Close a call that a lost lease left open, by the sender's policy for unknown outcomes."""
        outcome = await self._after_crash(delivery)
        await failpoint("notifier.calling.before_resolve")
        await self._record(delivery, outcome, token)
        await failpoint("notifier.calling.after_resolve")

    async def _ask(self, delivery: Delivery) -> Outcome:
        if delivery.message.brand != self._account.brand:
            return Failed("the account speaks for another brand now: write again from an account of this brand", "brand")
        context = SendContext(self._clock.now(), delivery.try_number, repeat=delivery.unknown_outcomes > 0)
        try:
            result = await self._account.sender.send(delivery.message, context)
        except DeliveryError as error:
            return outcome_of(error, self._account.policy)
        except TransientError as error:  # our own dependency, before the provider was asked
            return Deferred(str(error))
        except Exception as error:
            # A sender may raise nothing else; as it did, nobody can say how far it came.
            self._watcher.faulted(delivery.account_id, error)
            return Unknown(f"an error of our own: {type(error).__name__}; see the log", self._may_repeat)
        return Sent(result.external_ids)

    async def _after_crash(self, delivery: Delivery) -> Outcome:
        unknown = Unknown("the process ended during the call", self._may_repeat, at_once=True)
        if self._account.policy is not UnknownOutcome.LOOK:
            return unknown
        context = SendContext(self._clock.now(), delivery.try_number, repeat=True)
        try:
            found = await self._account.sender.look(delivery.message, context)
        except DeliveryError as error:
            return Unknown(error.reason, may_repeat=False, code=error.code)
        return Sent(found.external_ids) if found is not None else Deferred("the process ended before the provider took it")

    @property
    def _may_repeat(self) -> bool:
        return self._account.policy is UnknownOutcome.REPEAT

    def _heed(self, outcome: Outcome) -> None:
        """What the outcome means for the account's other lanes."""
        account = self._account
        match outcome:
            case Refused():
                changed = account.put(AccountCondition.AUTH_FAILED, outcome.reason)
            case Deferred(whole_account=True):
                account.gate.pause(self._clock.monotonic(), outcome.retry_after, self._clock.roll())
                changed = not account.is_stopped and account.put(AccountCondition.RESTING, outcome.reason)
            case Unknown():
                return
            case _:
                account.gate.answered()
                changed = not account.is_stopped and account.put(AccountCondition.READY)
        if changed:
            self._watcher.account_changed(account.status)

    async def _record(self, called: Delivery, outcome: Outcome, token: int) -> None:
        """Store what the call taught. It is knowledge and must not be lost: whatever the store says, again until it is stored."""
        while True:
            try:
                return await self._merge(called, outcome, token)
            except TransientError as error:
                self._watcher.faulted(called.account_id, error)
                await asyncio.sleep(_STORE_PAUSE)

    async def _merge(self, called: Delivery, outcome: Outcome, token: int) -> None:
        while True:
            stored = await self._store.find(called.id)
            if stored is None:
                raise TransientError(f"the delivery {called.id.message_id} is not in the store")
            settled = settle(stored, called.try_number, outcome, self._clock.now(), self._clock.roll())
            if settled is None:
                return
            if await self._store.replace(settled):
                self._watcher.settled(stored, settled)
                await failpoint("notifier.calling.after_settle")
                if not stored.call_open or stored.token != called.token or stored.token > token:
                    # Late: whoever holds the lane now may have looked already.
                    await self._store.raise_due({called.lane: called.account_id}, self._clock.now())
                return
