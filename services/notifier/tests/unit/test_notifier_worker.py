"""Workers on a store in memory, with a sender that does as it is told and a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from notifier.accounts import AccountCondition, AccountStatus, SendingAccount
from notifier.calling import Caller
from notifier.clock import Clock
from notifier.consumer import OutboundConsumer
from notifier.dispatcher import AccountDispatcher
from notifier.domain.delivery import Delivery, DeliveryId, open_call
from notifier.domain.rates import Limits
from notifier.reporting import Reporter
from notifier.store.sqlite import SqliteDeliveryStore
from notifier.testing.store_suite import NOW, outbound
from notifier.worker import LaneWorker, Visit
from threadline_connectors.errors import AccountBusyError, AuthError, PermanentError, RetryableError, UncertainError
from threadline_connectors.senders import SendContext, SendResult, UnknownOutcome
from threadline_events.deliveries import DeliveryUpdated, parse_delivery
from threadline_events.outbound import OutboundMessage
from threadline_events.records import Record, outbound_record
from threadline_events.states import DeliveryRank
from threadline_runtime.bus.port import Message, Position, Received
from threadline_runtime.errors import TransientError
from threadline_runtime.sqlite import SqliteDatabase

Fate = Exception | Callable[[], "asyncio.Future[None]"] | None


@dataclass
class TestClock:
    """Stands still until it is moved."""

    __test__ = False
    passed: timedelta = timedelta(0)

    def clock(self) -> Clock:
        return Clock(lambda: NOW + self.passed, self.monotonic, lambda: 0.0)

    def monotonic(self) -> float:
        return self.passed.total_seconds()


@dataclass
class ScriptedSender:
    """Meets each call with its next fate; None is success."""

    fates: list[Exception | asyncio.Event | None] = field(default_factory=list)
    calls: list[tuple[str, int, bool]] = field(default_factory=list)
    found: SendResult | None = None
    login: Exception | None = None

    async def send(self, message: OutboundMessage, context: SendContext) -> SendResult:
        self.calls.append((message.message_id, context.try_number, context.repeat))
        fate = self.fates.pop(0) if self.fates else None
        if isinstance(fate, asyncio.Event):
            await fate.wait()
        elif fate is not None:
            raise fate
        return SendResult((f"{message.message_id}@acme.test",))

    async def look(self, message: OutboundMessage, context: SendContext) -> SendResult | None:
        return self.found

    async def check(self) -> None:
        if self.login is not None:
            raise self.login

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Tokens:
    """Leases without a store: each claim raises the token; `away` lanes are another's."""

    last: int = 0
    away: set[str] = field(default_factory=set)

    async def try_acquire(self, lane: str) -> "HeldToken | None":
        if lane in self.away:
            return None
        self.last += 1
        return HeldToken(self.last)


@dataclass(frozen=True)
class HeldToken:
    token: int

    async def release(self) -> None:
        """Nothing to give back."""


@dataclass
class Seen:
    """What operators were told."""

    repeats: int = 0
    reached: list[str] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    accounts: list[AccountStatus] = field(default_factory=list)

    def call_opened(self, delivery: Delivery, *, is_repeat: bool) -> None:
        self.repeats += is_repeat

    def settled(self, before: Delivery, after: Delivery) -> None:
        self.reached += [after.rank.state] if after.rank is not before.rank else []

    def account_changed(self, status: AccountStatus) -> None:
        self.accounts.append(status)

    def faulted(self, account_id: str, error: Exception) -> None:
        self.faults.append(error)


class Bench:
    """One account with everything around it."""

    def __init__(self, store: SqliteDeliveryStore, policy: UnknownOutcome = UnknownOutcome.REPEAT, limits: Limits | None = None) -> None:
        self.store = store
        self.time = TestClock()
        self.sender = ScriptedSender()
        self.tokens = Tokens()
        self.seen = Seen()
        self.published: list[DeliveryUpdated] = []
        self.publish_error: Exception | None = None
        self.account = SendingAccount("support-mail", "email", "acme", self.sender, policy, limits or Limits())
        self.consumer = OutboundConsumer(store, {"email"}, lambda _: None, lambda: NOW + self.time.passed)
        clock = self.time.clock()
        self.caller = Caller(self.account, store, clock, self.seen)
        self.worker = LaneWorker(self.account, store, self.tokens, self.caller, Reporter(store, self.publish), clock)
        self.dispatcher = AccountDispatcher(self.account, store, self.worker, clock, self.seen)

    async def publish(self, records: Sequence[Record]) -> None:
        if self.publish_error is not None:
            raise self.publish_error
        for record in records:
            report = parse_delivery(record.value)
            assert isinstance(report, DeliveryUpdated)
            self.published.append(report)

    async def consume(self, *messages: OutboundMessage) -> None:
        await self.consumer.handle([received(message, offset) for offset, message in enumerate(messages)])

    async def visit_due(self) -> list[Visit]:
        due = await self.store.due_lanes("support-mail", NOW + self.time.passed, 100)
        return [await self.worker.visit(lane.key) for lane in due]

    async def stored(self, name: str = "m_1", attempt: int = 1) -> Delivery:
        delivery = await self.store.find(DeliveryId(name, attempt))
        assert delivery is not None
        return delivery

    @property
    def states(self) -> list[tuple[str, int, str]]:
        return [(report.message_id, report.try_, report.state) for report in self.published]


def received(message: OutboundMessage, offset: int) -> Message[OutboundMessage]:
    record = outbound_record(message)
    position = Position(record.topic, 0, offset)
    return Message(Received(position, NOW, record.key, record.value, tuple(record.headers.items()), record.headers), message)


@pytest.fixture
async def store() -> AsyncIterator[SqliteDeliveryStore]:
    database = SqliteDatabase.open(":memory:")
    store = SqliteDeliveryStore(database)
    await store.migrate()
    yield store
    await database.close()


@pytest.fixture
def bench(store: SqliteDeliveryStore) -> Bench:
    return Bench(store)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def test_a_message_is_sent_once_and_reported_once(bench: Bench) -> None:
    """P2, P3: consumed twice, one call, one report, and the lane is done."""
    await bench.consume(outbound())
    await bench.visit_due()
    await bench.consume(outbound())
    assert await bench.visit_due() == []
    assert bench.sender.calls == [("m_1", 1, False)]
    assert bench.states == [("m_1", 1, "sent")]
    assert bench.published[0].external_ids == ("m_1@acme.test",)


async def test_a_lane_keeps_its_order_while_the_first_retries(bench: Bench) -> None:
    """A later reply never overtakes; another thread of the account goes on."""
    bench.sender.fates = [RetryableError("busy", code="451")]
    await bench.consume(outbound("m_1"), outbound("m_2"), outbound("m_3", thread="zoe@client.test"))
    await bench.visit_due()
    assert sorted(call[0] for call in bench.sender.calls) == ["m_1", "m_3"]
    bench.time.passed = timedelta(minutes=2)
    await bench.visit_due()
    assert [call for call in bench.sender.calls if call[0] != "m_3"] == [("m_1", 1, False), ("m_1", 2, False), ("m_2", 1, False)]
    assert [state for state in bench.states if state[0] == "m_1"] == [("m_1", 1, "sending"), ("m_1", 2, "sent")]


async def test_a_failed_one_lets_the_next_go(bench: Bench) -> None:
    """failed is final for the lane."""
    bench.sender.fates = [PermanentError("no such address", code="550 5.1.1")]
    await bench.consume(outbound("m_1"), outbound("m_2"))
    await bench.visit_due()
    assert bench.states == [("m_1", 1, "failed"), ("m_2", 1, "sent")]
    assert (bench.published[0].code, bench.published[0].class_) == ("550 5.1.1", "permanent")


async def test_a_crash_during_the_call_is_a_counted_repeat(bench: Bench) -> None:
    """P4: the outcome is unknown, mail goes again under the same id, counted apart."""
    await bench.consume(outbound())
    assert await bench.store.replace(open_call(await bench.stored(), (await bench.tokens.try_acquire("x") or HeldToken(0)).token, NOW))
    await bench.visit_due()
    assert bench.sender.calls == [("m_1", 2, True)]
    assert bench.seen.repeats == 1
    assert (await bench.stored()).repeats == 1
    assert bench.states[-1] == ("m_1", 2, "sent")


@pytest.mark.parametrize("policy", [UnknownOutcome.HOLD, UnknownOutcome.LOOK])
async def test_a_crash_under_other_policies(store: SqliteDeliveryStore, policy: UnknownOutcome) -> None:
    """P4: hold asks a person; look asks the provider."""
    bench = Bench(store, policy)
    bench.sender.found = SendResult(("found@acme.test",))
    await bench.consume(outbound())
    assert await store.replace(open_call(await bench.stored(), 1, NOW))
    bench.tokens.last = 1
    await bench.visit_due()
    assert bench.sender.calls == []
    expected = DeliveryRank.UNCERTAIN if policy is UnknownOutcome.HOLD else DeliveryRank.SENT
    assert (await bench.stored()).rank is expected


async def test_uncertain_after_the_repeat_waits_for_a_person(bench: Bench) -> None:
    """P4: repeated once, then a person decides; the lane goes on."""
    bench.sender.fates = [UncertainError("no answer"), UncertainError("no answer")]
    await bench.consume(outbound("m_1"), outbound("m_2"))
    await bench.visit_due()
    bench.time.passed = timedelta(minutes=1)
    await bench.visit_due()
    assert bench.states == [("m_1", 1, "sending"), ("m_1", 2, "uncertain"), ("m_2", 1, "sent")]


async def test_a_result_that_could_not_be_published_is_published_later(bench: Bench) -> None:
    """P3: no second call, the report comes from the store."""
    await bench.consume(outbound())
    bench.publish_error = TransientError("the bus is away")
    with pytest.raises(TransientError):
        await bench.visit_due()
    assert (await bench.stored()).rank is DeliveryRank.SENT
    bench.publish_error = None
    await bench.visit_due()
    assert bench.sender.calls == [("m_1", 1, False)]
    assert bench.states == [("m_1", 1, "sent")]


async def test_a_deposed_worker_opens_no_call(bench: Bench) -> None:
    """P4: a lower token never calls once a higher one has."""
    await bench.consume(outbound())
    delivery = await bench.stored()
    assert await bench.caller.call(delivery, token=5)
    assert not await bench.caller.call(await bench.stored(), token=4)
    assert not await bench.caller.call(delivery, token=6)
    assert len(bench.sender.calls) == 1


async def test_a_late_acceptance_is_knowledge(bench: Bench) -> None:
    """A worker lost its lease during a call; what it learns is merged, the lane is due again, the report goes out."""
    released = asyncio.Event()
    bench.sender.fates = [released, UncertainError("no answer")]
    await bench.consume(outbound())
    slow = asyncio.create_task(bench.caller.call(await bench.stored(), token=1))
    await until(lambda: bool(bench.sender.calls))
    bench.tokens.last = 1
    await bench.visit_due()
    assert (await bench.stored()).rank is DeliveryRank.UNCERTAIN
    assert await bench.visit_due() == []
    released.set()
    await slow
    await bench.visit_due()
    assert (await bench.stored()).rank is DeliveryRank.SENT
    assert bench.states[-2:] == [("m_1", 2, "uncertain"), ("m_1", 2, "sent")]


async def test_a_store_that_is_away_loses_no_result(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider accepted; whatever the store says, that is stored in the end."""
    monkeypatch.setattr("notifier.calling._STORE_PAUSE", 0.0)
    await bench.consume(outbound())
    real, failures = bench.store.find, [TransientError("disk full"), TransientError("disk full")]

    async def find(delivery_id: DeliveryId) -> Delivery | None:
        if failures:
            raise failures.pop()
        return await real(delivery_id)

    delivery = await bench.stored()
    monkeypatch.setattr(bench.store, "find", find)
    assert await bench.caller.call(delivery, token=1)
    assert (await real(delivery.id) or delivery).rank is DeliveryRank.SENT
    assert len(bench.seen.faults) == 2


async def test_a_refused_login_stops_the_account_and_fails_nothing(bench: Bench) -> None:
    """P8: an account fault is no message's fault; it shows, and the messages wait."""
    bench.sender.fates = [AuthError("refused", code="535 5.7.8")]
    await bench.consume(outbound("m_1"), outbound("m_2", thread="zoe@client.test"))
    visits = await bench.visit_due()
    assert visits == [Visit.HELD_BACK, Visit.HELD_BACK]
    assert len(bench.sender.calls) == 1
    assert bench.seen.accounts == [AccountStatus("support-mail", AccountCondition.AUTH_FAILED, "refused")]
    assert bench.states == [("m_1", 1, "sending")]
    assert (await bench.store.totals())["support-mail"].in_flight == 2


async def test_an_unreachable_server_is_not_asked_by_every_lane(bench: Bench) -> None:
    """One failure rests the account; its other lanes do not even try."""
    bench.sender.fates = [AccountBusyError("cannot be reached", code="connect")]
    await bench.consume(*(outbound(f"m_{n}", thread=f"{n}@client.test") for n in range(5)))
    await bench.visit_due()
    assert len(bench.sender.calls) == 1
    bench.time.passed = timedelta(seconds=6)
    await bench.visit_due()
    assert len(bench.sender.calls) == 6
    assert [status.condition for status in bench.seen.accounts] == [AccountCondition.RESTING, AccountCondition.READY]


async def test_a_thread_that_goes_too_fast_rests(store: SqliteDeliveryStore) -> None:
    """Loops are broken by rate."""
    bench = Bench(store, limits=Limits(thread_per_minute=2))
    await bench.consume(*(outbound(f"m_{n}") for n in range(4)))
    await bench.visit_due()
    assert len(bench.sender.calls) == 2
    assert await bench.visit_due() == []
    bench.time.passed = timedelta(seconds=30)
    await bench.visit_due()
    assert len(bench.sender.calls) == 3


async def test_a_sender_that_raises_anything_else_is_unknown(bench: Bench) -> None:
    """A fault of ours during a call: nobody knows how far it came."""
    bench.sender.fates = [ValueError("bug")]
    await bench.consume(outbound())
    await bench.visit_due()
    stored = await bench.stored()
    assert (stored.unknown_outcomes, stored.rank) == (1, DeliveryRank.SENDING)
    assert isinstance(bench.seen.faults[0], ValueError)


async def test_a_lane_of_another_process_is_left_alone(bench: Bench) -> None:
    """A worker claims a lane, never a delivery."""
    await bench.consume(outbound())
    bench.tokens.away.add((await bench.stored()).lane)
    assert await bench.visit_due() == [Visit.TAKEN]
    assert bench.sender.calls == []


async def test_a_persons_retry_is_sent_again(bench: Bench) -> None:
    """The next attempt of a failed message is a delivery of its own."""
    bench.sender.fates = [PermanentError("no", code="550")]
    await bench.consume(outbound())
    await bench.visit_due()
    await bench.consume(outbound(attempt=2, at=NOW + timedelta(minutes=1)))
    await bench.visit_due()
    assert [(report.attempt, report.state) for report in bench.published] == [(1, "failed"), (2, "sent")]


async def test_other_channels_are_not_ours(bench: Bench) -> None:
    """Web chat is sent by its open sockets."""
    await bench.consume(outbound().model_copy(update={"channel": "webchat"}))
    assert await bench.store.totals() == {}


async def test_lanes_go_side_by_side_up_to_the_limit(store: SqliteDeliveryStore) -> None:
    """Several lanes at once, no more calls than the account bears; a stopped one lets the others go on."""
    bench = Bench(store, limits=Limits(calls_at_once=2))
    gates = [asyncio.Event() for _ in range(4)]
    bench.sender.fates = list(gates)
    await bench.consume(*(outbound(f"m_{n}", thread=f"{n}@client.test") for n in range(4)))
    running = asyncio.create_task(bench.dispatcher.run())
    await until(lambda: len(bench.sender.calls) == 2)
    gates[1].set()
    await until(lambda: len(bench.sender.calls) == 3)
    for gate in gates:
        gate.set()
    await until(lambda: len(bench.published) == 4)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {state for _, _, state in bench.states} == {"sent"}


async def test_a_stop_lets_calls_end(bench: Bench) -> None:
    """A call that is cut has an unknown outcome, so a stop waits for it."""
    gate = asyncio.Event()
    bench.sender.fates = [gate]
    await bench.consume(outbound())
    running = asyncio.create_task(bench.dispatcher.run())
    await until(lambda: len(bench.sender.calls) == 1)
    running.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(running, return_exceptions=True)
    assert (await bench.stored()).rank is DeliveryRank.SENT


async def test_a_stopped_account_tries_its_login_again(bench: Bench) -> None:
    """Who corrects the password need not restart; until then the login is tried ever more seldom."""
    bench.sender.fates = [AuthError("refused")]
    bench.sender.login = AuthError("refused")
    await bench.consume(outbound())
    await bench.visit_due()
    waits = []
    for _ in range(4):
        wait = await bench.dispatcher._round()
        waits.append(wait)
        bench.time.passed += timedelta(seconds=wait)
    assert waits == [60, 120, 240, 480]
    bench.sender.login = None
    assert await bench.dispatcher._round() == 0
    assert bench.account.condition is AccountCondition.READY


async def test_a_login_check_that_breaks_knocks_no_faster(bench: Bench) -> None:
    """Providers lock accounts that knock too often, whatever the fault is."""
    bench.sender.fates = [AuthError("refused")]
    bench.sender.login = LookupError("not ours to know")
    await bench.consume(outbound())
    await bench.visit_due()
    waits = []
    for _ in range(3):
        waits.append(await bench.dispatcher._round())
        bench.time.passed += timedelta(seconds=waits[-1])
    assert waits == [60, 120, 240]
    assert [type(fault) for fault in bench.seen.faults] == [LookupError, LookupError]


async def test_an_account_that_speaks_for_another_brand_now_sends_nothing_of_the_old_one(bench: Bench) -> None:
    """Contacts and conversations never cross brands, also when the configuration changes while messages wait."""
    await bench.consume(outbound().model_copy(update={"brand": "other"}))
    await bench.visit_due()
    assert bench.sender.calls == []
    (report,) = bench.published
    assert (report.state, report.code) == ("failed", "brand")


async def test_an_unknown_error_is_blamed_on_a_message_only_while_the_store_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """P8: a broken dependency pauses intake; it sets no message aside."""
    subscription = bench.consumer.subscription()
    (probe,) = subscription.probes
    await probe()

    async def away(_: str) -> None:
        raise OSError("gone")

    monkeypatch.setattr(bench.store, "lane", away)
    with pytest.raises(OSError, match="gone"):
        await probe()
    assert subscription.service == "notifier"


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_stop_that_comes_together_with_news_is_not_lost(bench: Bench, turns: int) -> None:
    """A process that is asked to end does, whatever happens in the same moment."""
    seconds = 60.0
    bench.dispatcher._woken.clear()
    sleeping = asyncio.create_task(bench.dispatcher._sleep(seconds))
    for _ in range(5):
        await asyncio.sleep(0)
    bench.dispatcher.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    told = sleeping.cancel()  # False where it had ended already, as it may
    await asyncio.wait([sleeping])
    assert sleeping.cancelled() == told
