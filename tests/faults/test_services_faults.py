"""P1 to P5, P8 with two of each service on Kafka and MongoDB: processes killed, frozen, cut off and scaled, and all that may arrive.

Each test is one class of faults; after it the books of all that happened on this deployment must balance.
"""

import asyncio
import time
from pathlib import Path

import pytest
from threadline_cli.testing.fault_world import World
from threadline_cli.testing.fleet import Fleet
from threadline_cli.testing.lag import GROUPS, seconds_to_catch_up
from threadline_cli.testing.load import Load
from threadline_cli.testing.own_process import OwnProcess
from threadline_cli.testing.standalone import threadline
from threadline_cli.testing.stored import stored
from threadline_cli.testing.under_load import SHORT
from threadline_runtime.testing.fake_smtp import Fate, Step
from threadline_runtime.testing.kafka_places import rewind
from threadline_runtime.testing.mail_world import SUPPORT
from threadline_runtime.testing.requirements import require_programs

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(3600)]
in_full = pytest.mark.skipif(SHORT, reason="only in a full run of the faults")
PACKAGES = ("router", "ingest_email", "notifier")
LONGER_THAN_A_SESSION, LONGER_THAN_A_LEASE = 13.0, 26.0


def test_kill_9_of_services_at_random(fleet: World[Fleet]) -> None:
    """Class 1: any process, at any moment, up to all of one service; then it is started again."""
    kills, up, dice = (6 if SHORT else 60), fleet.up, fleet.under.dice
    with fleet.under.load():
        for _ in range(kills):
            time.sleep(dice.uniform(0.1, 2.0))
            dice.choice(up.processes).kill()
            if dice.random() < 0.3:
                dice.choice(up.of(dice.choice(PACKAGES))).kill()
            if dice.random() < 0.6:
                up.start_what_is_dead()
        up.start_what_is_dead()
        fleet.under.recovers()
    fleet.under.balance(f"{kills} and more kill -9 of services at random")


def armed(process: OwnProcess, log: Path, rule: str) -> None:
    """Start it anew, so that it sleeps at a named place."""
    before = dict(process.env)
    process.kill()
    log.unlink(missing_ok=True)
    process.env |= {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": rule, "THREADLINE_FAILPOINTS_LOG": str(log)}
    process.start(wait=False)
    process.env = before


@in_full
@pytest.mark.parametrize("seconds", [4.0, 60.0])
def test_sigterm_while_a_batch_is_in_hand(fleet: World[Fleet], tmp_path: Path, seconds: float) -> None:
    """Class 3: what is in hand is ended where the grace allows, else broken off; the process ends by itself either way."""
    place, log = "router.outbox.before_publish", tmp_path / "passed"
    router = fleet.up.of("router")[1]
    with fleet.under.load():
        armed(router, log, f"{place}=sleep:{seconds}@1")
        router.until("the batch in hand", lambda: log.exists() and place in log.read_text(), within=60)
        status = router.stop(within=60)
        router.kill()
        fleet.up.start_what_is_dead()
        fleet.under.recovers()
    fleet.under.balance(f"SIGTERM with a batch that takes {seconds:.0f} s in hand")
    assert status == 0


@in_full
def test_services_scaled_up_and_down_every_few_seconds(fleet: World[Fleet]) -> None:
    """Class 4: a rebalance storm by orderly stops and starts."""
    up, dice = fleet.up, fleet.under.dice
    with fleet.under.load():
        for _ in range(40):
            time.sleep(dice.uniform(0.5, 3.0))
            process = dice.choice(up.processes)
            if not process.running:
                process.start(wait=False)
            elif dice.random() < 0.8:
                process.wait_until_up()
                assert process.stop(within=40) == 0
        up.start_what_is_dead()
        fleet.under.recovers()
    fleet.under.balance("scaled up and down")


@in_full
def test_services_frozen_past_session_and_lease(fleet: World[Fleet]) -> None:
    """Class 5: SIGSTOP, then SIGCONT: what a zombie still wants to do moves nothing back and is done once."""
    up, dice = fleet.up, fleet.under.dice
    with fleet.under.load():
        for seconds in [LONGER_THAN_A_SESSION, LONGER_THAN_A_LEASE] * 3:
            frozen = [dice.choice(up.of(package)) for package in PACKAGES]
            for process in frozen:
                process.freeze()
            time.sleep(seconds)
            for process in frozen:
                process.thaw()
            fleet.under.recovers()
    fleet.under.balance("frozen past session and lease")
    assert up.running, up.said()


@in_full
def test_half_of_the_services_cut_off(fleet: World[Fleet]) -> None:
    """Class 7: one of each service is cut off from Kafka, from MongoDB, or from both, and told so or not; the others work on."""
    kafka, mongodb = fleet.servers.kafka.proxies, (fleet.servers.to_database,)
    with fleet.under.load():
        for ways in [kafka, mongodb, (*kafka, *mongodb)] * 2:
            for way in ways:
                way.hold(up=True, down=True)
            time.sleep(LONGER_THAN_A_SESSION)
            for way in ways:
                way.cut()
            time.sleep(5.0)
            for way in ways:
                way.heal()
            fleet.under.recovers()
    fleet.under.balance("one of each service cut off")
    assert fleet.up.running, fleet.up.said()


def test_everything_again_in_any_order(fleet: World[Fleet]) -> None:
    """Classes 9 and 10: all that lies on the bus comes once more, shuffled; threads of mails arrive newest first."""
    with fleet.under.load() as load:
        for _ in range(1 if SHORT else 5):
            load.write_backwards(5 if SHORT else 20)
            time.sleep(3.0)
            repeated = load.repeat_the_bus()
            fleet.under.recovers()
    fleet.under.balance(f"{repeated} records again in any order")


def test_whole_topics_read_again_from_the_start(fleet: World[Fleet]) -> None:
    """Class 9: with every group set back to the earliest offset nothing changes in the database and nothing is sent."""
    up = fleet.up
    with fleet.under.load():
        time.sleep(5.0)
    fleet.under.balance("before whole topics are read again")
    up.until("what was snoozed to be open again", lambda: not up.conversations(status="snoozed"), within=60)
    before, sent = stored(up.site.database), len(fleet.servers.sink.received)
    for process in up.processes:
        assert process.stop(within=40) == 0
    asyncio.run(rewind(up.bus_url, GROUPS))
    up.start_what_is_dead()
    seconds = seconds_to_catch_up(up.bus_url, within=300)
    after = stored(up.site.database)
    changed = {name: before[name].items() ^ after[name].items() for name in before if before[name] != after[name]}
    print(f"\neverything read again by {len(GROUPS)} groups in {seconds:.1f} s: {sum(map(len, before.values()))} documents compared")
    assert before.keys() == after.keys()
    assert not changed, str(changed)[:4000]
    assert len(fleet.servers.sink.received) == sent
    fleet.under.balance("whole topics read again")


def test_poison_of_every_kind(fleet: World[Fleet]) -> None:
    """Class 11: each record that nobody can read becomes a dead letter, and all others pass."""
    with fleet.under.load() as load:
        for _ in range(2 if SHORT else 20):
            load.poison(20 if SHORT else 100)
        fleet.under.recovers()
    fleet.under.balance("poison of every kind")


@in_full
def test_clocks_that_are_hours_apart(fleet: World[Fleet]) -> None:
    """Class 12: routers and notifiers an hour late and an hour early, mailboxes right and an hour early; then one of each dies.

    No mailbox is read an hour late: the certificates of the tests would not be valid yet.
    """
    require_programs("faketime", package="faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    up = fleet.up
    usual = [dict(process.env) for process in up.processes]
    with fleet.under.load():
        for process in up.processes:
            process.stop(within=40)
            early, right = process not in up.firsts, process in up.of("ingest_email")
            process.env |= {"LD_PRELOAD": str(library), "FAKETIME": "+1h" if early else "+0" if right else "-1h"}
        up.start_what_is_dead()
        time.sleep(20.0)
        for process in up.firsts:
            process.kill()
        time.sleep(LONGER_THAN_A_LEASE)
        up.start_what_is_dead()
        fleet.under.recovers()
    for process, env in zip(up.processes, usual, strict=True):
        process.stop(within=40)
        process.env = env
    up.start_what_is_dead()
    fleet.under.balance("clocks two hours apart")


@in_full
def test_imap_cut_and_restored(fleet: World[Fleet]) -> None:
    """Class 17: sessions cut in the middle of whatever they do, the server killed, a folder restored under a new UIDVALIDITY."""
    dovecot = fleet.servers.mail.dovecot
    with fleet.under.load():
        for _ in range(8):
            for user in (SUPPORT, *dovecot.users):
                dovecot.disconnect(user)
            time.sleep(0.5)
    dovecot.kill()
    dovecot.start()
    dovecot.change_uid_validity(SUPPORT)
    with fleet.under.load():
        time.sleep(2.0)
    fleet.under.balance("IMAP cut, killed and restored")


REFUSALS = ("451 4.3.0 Try again later", "550 5.1.1 No such user", "421 4.7.0 Too many connections")
UNTIL_A_THIRD_TRY = 500.0
"""A lane that was put off waits a minute, then five."""


def bad_days(load: Load, fleet: World[Fleet]) -> None:
    """The ways in which a mail server fails, while agents reply."""
    steps = [Step(fate) for fate in (Fate.DROP_AFTER_DATA, Fate.DROP_UNTAKEN, Fate.DROP_AFTER_ACCEPT)]
    steps += [Step(fate, REFUSALS[1]) for fate in (Fate.REFUSE_SENDER, Fate.REFUSE_RECIPIENT, Fate.REFUSE_DATA)]
    steps += [Step(Fate.REFUSE_DATA, REFUSALS[0]), Step(Fate.REFUSE_SENDER, REFUSALS[2]), Step(Fate.STALL_AFTER_DATA)]
    fleet.servers.sink.script(*fleet.under.dice.sample(steps, k=len(steps)))
    for _ in range(6):
        load.reply()


@in_full
def test_smtp_failing_slow_and_gone(fleet: World[Fleet]) -> None:
    """Class 18: refusals for now and for good, connections dropped before and after the answer, a slow line, none at all."""
    way = fleet.servers.to_sink
    with fleet.under.load() as load:
        time.sleep(3.0)
        for _ in range(3):
            bad_days(load, fleet)
            way.slow(delay=0.5)
            time.sleep(2.0)
            way.reset()
            way.hold(down=True)
            time.sleep(2.0)
            way.cut()
            time.sleep(2.0)
            way.heal()
    fleet.under.balance("SMTP failing, slow and gone", within=UNTIL_A_THIRD_TRY)


def test_dead_letters_are_whole(fleet: World[Fleet]) -> None:
    """Class 11: whatever was set aside on this deployment can be shown, exact bytes and reason."""
    letters = threadline("dlq", "list", "--json", "--data", str(fleet.up.data), env=fleet.up.env).stdout.splitlines()
    assert len(letters) >= fleet.under.history.poisoned
