"""The poller host: lease, checkpoint, fetch, read, publish, checkpoint, in this order whatever breaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from threadline_connectors.accounts import Condition
from threadline_connectors.errors import AuthError, RetryableError
from threadline_connectors.testing.poller_rig import PollerRig, poller_rig
from threadline_connectors.testing.shelf import SOURCE, T0, Shelf, shelf_feed
from threadline_runtime.errors import ConfigurationError, TransientError


@pytest.fixture
async def rig(tmp_path) -> AsyncIterator[PollerRig]:
    async with poller_rig(tmp_path, now=lambda: T0 + timedelta(seconds=30)) as one:
        yield one


async def test_everything_is_published_once_in_order(rig):
    """P1: all things are on the bus, positions are stored, the state says so."""
    shelf = Shelf(["a", "b", "c", "d", "e"])
    async with rig.running([shelf_feed(shelf)]):
        await rig.until(SOURCE, Condition.LISTENING)
        await rig.until_intakes(5)
    assert await rig.checkpoints.position(SOURCE) == "5"
    assert [event.text for event in await rig.events()] == ["a", "b", "c", "d", "e"]
    assert rig.counted("intakes_total", channel="sms", account="acme-sms") == 5
    assert rig.counted("source_lag_seconds", account="acme-sms") == 0.0
    assert rig.counted("connector_last_success_timestamp_seconds", account="acme-sms") == (T0 + timedelta(seconds=30)).timestamp()
    assert rig.services.board.state(SOURCE).condition is Condition.STOPPED


async def test_start_is_stored_before_the_first_fetch(rig):
    """P1: what comes while a first start crashes is not skipped by a second start."""
    shelf = Shelf(["old", "new"], begin="1", errors=[RetryableError("cut")])
    async with rig.running([shelf_feed(shelf)]):
        await rig.until(SOURCE, Condition.LISTENING)
    assert shelf.log.count("start") == 1
    assert shelf.log.index("start") < shelf.log.index("follow 1")
    assert [event.text for event in await rig.events()] == ["new"]


async def test_checkpoint_moves_only_after_the_publish(rig, monkeypatch):
    """P1: while the bus takes nothing the position stands, the source is held back, and nothing is skipped when it is back."""
    shelf = Shelf([str(n) for n in range(40)])
    down = asyncio.Event()
    real = rig.bus.publish

    async def publish(records, *, then=()):
        if not down.is_set():
            raise TransientError("disk full")
        await real(records, then=then)

    monkeypatch.setattr(rig.bus, "publish", publish)
    async with rig.running([shelf_feed(shelf)]):
        state = await rig.until(SOURCE, Condition.HELD_BACK)
        assert state.reason == "disk full"
        await asyncio.sleep(0.1)
        assert await rig.checkpoints.position(SOURCE) == "0"
        assert rig.counted("source_lag_seconds", account="acme-sms") == 30.0
        assert shelf.most_out <= 5 * shelf.batch
        down.set()
        await rig.until(SOURCE, Condition.LISTENING)
    assert sorted(int(event.text) for event in await rig.events()) == list(range(40))
    assert shelf.log.count("start") == 1


async def test_a_bus_that_neither_takes_nor_refuses_is_shown_and_waited_for(rig, monkeypatch):
    """P1: a publish that hangs holds the source back as one that fails; what is fetched meanwhile does not hide it."""
    shelf = Shelf([str(n) for n in range(40)])
    may = asyncio.Event()
    real = rig.bus.publish

    async def publish(records, *, then=()):
        await may.wait()
        await real(records, then=then)

    monkeypatch.setattr(rig.bus, "publish", publish)
    async with rig.running([shelf_feed(shelf)]):
        state = await rig.until(SOURCE, Condition.HELD_BACK)
        assert (state.healthy, state.reason) == (False, "the bus or the blobs have not confirmed within 5 s: are they up?")
        assert await rig.checkpoints.position(SOURCE) == "0"
        may.set()
        await rig.until(SOURCE, Condition.LISTENING)
    assert len(await rig.intakes()) == 40


async def test_what_is_ours_is_asked_often_and_a_source_seldom(rig, monkeypatch):
    """Recovery: however long the bus was away, all flows again some seconds after it is back."""
    shelf = Shelf(["a"])
    waits, real = [], rig.bus.publish

    async def sleep(seconds):
        waits.append(seconds)
        await asyncio.sleep(0)

    async def publish(records, *, then=()):
        if len(waits) < 100:
            raise TransientError("no server of THREADLINE_BUS__URL lets us in")
        await real(records, then=then)

    monkeypatch.setattr(rig.bus, "publish", publish)
    async with replace(rig, services=replace(rig.services, sleep=sleep)).running([shelf_feed(shelf)]):
        await rig.until(SOURCE, Condition.LISTENING)
    assert max(waits) <= 10.0


async def test_memory_does_not_grow_with_the_backlog(rig):
    """Of a long backlog only a few batches are in hand at a time."""
    shelf = Shelf([str(n) for n in range(600)], batch=10)
    async with rig.running([shelf_feed(shelf)]):
        await rig.until(SOURCE, Condition.LISTENING)
    assert shelf.most_out <= 6 * shelf.batch
    assert len(await rig.intakes()) == 600


async def test_rejected_and_empty_payloads_are_intakes_of_their_own(rig):
    """P3, P8: what cannot be read is an intake with its reason and its bytes; the source goes on."""
    shelf = Shelf(["a", "bad one", "nothing here", "b"])
    async with rig.running([shelf_feed(shelf)]):
        await rig.until_intakes(4)
        await rig.until(SOURCE, Condition.LISTENING)
    intakes = {intake.raw: (intake.event_count, intake.outcome, intake.reason) for intake in await rig.intakes()}
    assert intakes == {
        b"a": (1, None, None),
        b"bad one": (0, "rejected", "unreadable"),
        b"nothing here": (0, "ignored", "says_nothing"),
        b"b": (1, None, None),
    }
    assert rig.counted("events_rejected_total", channel="sms", account="acme-sms", reason="unreadable") == 1


async def test_a_refetched_payload_is_the_same_intake(rig):
    """P2: a crash before the checkpoint makes the source deliver again: the same intake, the same event."""
    shelf = Shelf(["a"])
    async with rig.running([shelf_feed(shelf)]):
        await rig.until_intakes(1)
    token = (await rig.services.leases.hold(SOURCE.lease_name)).token
    await rig.checkpoints.claim(SOURCE, token)
    await rig.checkpoints.store(SOURCE, token, "0")
    async with rig.running([shelf_feed(Shelf(["a"]))]):
        await rig.until_intakes(2)
    assert len({intake.intake_id for intake in await rig.intakes()}) == 1
    assert len({event.event_id for event in await rig.events()}) == 1


@pytest.mark.parametrize(
    ("error", "condition", "shown"),
    [
        (AuthError("mail.test refuses the login"), Condition.AUTH_FAILED, "mail.test refuses the login"),
        (RetryableError("mail.test cannot be reached"), Condition.UNREACHABLE, "mail.test cannot be reached"),
        (ConfigurationError("no folder Nowhere"), Condition.MISCONFIGURED, "no folder Nowhere"),
        (KeyError("ann@client.test"), Condition.FAULTY, "KeyError"),
    ],
)
async def test_errors_are_states_and_another_round_follows(rig, error, condition, shown):
    """Every fault of a source is shown with its reason and tried again; a customer's words never are."""
    seen: list[tuple[Condition, str | None]] = []
    real = rig.services.board.put
    rig.services.board.put = lambda source, what, now, reason=None: seen.append((what, reason)) or real(source, what, now, reason)
    shelf = Shelf(["a"], errors=[error])
    async with rig.running([shelf_feed(shelf)]):
        await rig.until_intakes(1)
    reason = next(reason for what, reason in seen if what is condition)
    assert reason is not None
    assert shown in reason
    assert "ann@client.test" not in reason
    assert shelf.log.count("close") >= 2


async def test_lag_grows_while_the_source_cannot_be_reached(tmp_path):
    """An unreachable source is not taken for an empty one."""
    clock = [T0]
    async with poller_rig(tmp_path, now=lambda: clock[0]) as rig:
        shelf = Shelf(["a"], errors=[RetryableError("down")] * 1000)
        async with rig.running([shelf_feed(shelf)]):
            await rig.until(SOURCE, Condition.UNREACHABLE)
            clock[0] = T0 + timedelta(hours=1)
            await rig.until_counted(3600, "source_lag_seconds", account="acme-sms")
            shelf.errors.clear()
            with capture_logs() as logs:
                await rig.until(SOURCE, Condition.LISTENING)
        assert rig.counted("source_lag_seconds", account="acme-sms") == 0
        assert [line["event"] for line in logs] == ["source_works_again"]  # who read of the failure reads of its end


async def test_a_deposed_host_publishes_duplicates_at_most(rig):
    """A host whose token is old cannot move the position; it waits for the lease again."""
    shelf = Shelf(["a", "b"])
    real = rig.checkpoints.store
    stolen = asyncio.Event()

    async def store(source, token, position):
        if position == "2" and not stolen.is_set():
            stolen.set()
            await rig.checkpoints.claim(source, token + 100)  # another process took over just now
        await real(source, token, position)

    checkpoints = type("Stealing", (), {"claim": rig.checkpoints.claim, "store": staticmethod(store)})()
    services = replace(rig.services, checkpoints=checkpoints)
    host_rig = replace(rig, services=services)
    async with host_rig.running([shelf_feed(shelf)]):
        await stolen.wait()
        await asyncio.sleep(0.1)
        assert await rig.checkpoints.position(SOURCE) == "0"
        assert "published 2" not in shelf.log


async def test_two_hosts_share_nothing(rig):
    """Exactly one of two hosts in one process follows the source."""
    shelf = Shelf(["a", "b"])
    busy = replace(rig.services, leases=rig.services.leases)
    with contextlib.suppress(asyncio.CancelledError):
        async with replace(rig, services=busy).running([shelf_feed(shelf)]):
            await rig.until(SOURCE, Condition.LISTENING)
    assert sum(line.startswith("follow") for line in shelf.log) == 1
