"""P1, P2, P3, P4, P9: `threadline up` is killed under load, at random and at every named place; at the end the books must balance.

The environment says how long: THREADLINE_FAULTS=short for CI, full else. Counts are printed, whatever the result.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadline_cli.testing.conservation import Books, settle
from threadline_cli.testing.load import Load
from threadline_cli.testing.oddities import Oddities
from threadline_cli.testing.standalone import MailAccount, Standalone, accounts_file, threadline
from threadline_runtime.failpoints import all_failpoints
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step
from threadline_runtime.testing.mail_world import OTHER_BRAND, SALES, SUPPORT, MailWorld

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(1800)]
SHORT = os.environ.get("THREADLINE_FAULTS") == "short"
SEED = int(os.environ.get("THREADLINE_FAULTS_SEED", str(random.SystemRandom().getrandbits(32))))
SEEDED = os.environ.get("THREADLINE_SEEDED_FAULT")
ROOT = Path(__file__).resolve().parents[2]


def configured(folder: Path, mail_world: MailWorld, fake_smtp: FakeSmtp) -> Path:
    """Three mailboxes of two brands in Dovecot, replies to the scripted SMTP server."""
    relay = {"smtp": {"host": fake_smtp.host, "port": fake_smtp.port, "tls": "none"}}
    accounts = [
        MailAccount("acme-support", "acme", SUPPORT, **relay),
        MailAccount("acme-sales", "acme", SALES, **relay),
        MailAccount("globex-support", "globex", OTHER_BRAND, **relay),
    ]
    return accounts_file(folder / "threadline.yaml", mail_world, accounts)


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp) -> Iterator[Standalone]:
    running = Standalone(tmp_path / "data", configured(tmp_path, mail_world, fake_smtp))
    if SEEDED:
        running.program = [sys.executable, str(ROOT / "tests" / "faults" / "seeded.py"), SEEDED]
    with running:
        yield running


def finish(up: Standalone, load: Load, sink: FakeSmtp, what: str) -> Books:
    """Stop the load, start what is dead, wait for rest, print the counts."""
    if not up.running:
        up.start()
    up.wait_until_up()
    history = load.stop()
    books = settle(up, history, sink, within=90)
    print(f"\n{what} (seed {SEED}): {books}; refused {history.refused}, commands {len(history.commands)}, bounces {history.bounces}")
    return books


def test_killed_at_random_under_load(up: Standalone, mail_world: MailWorld, fake_smtp: FakeSmtp) -> None:
    """0 lost, 0 doubled, 0 sent twice other than counted repeats, nothing missing in the audit."""
    kills = 8 if SHORT else 50
    dice = random.Random(SEED)
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED)
    load.start()

    for _ in range(kills):
        time.sleep(dice.uniform(0.05, 2.0))
        up.kill()
        up.start(wait=dice.random() < 0.8)
    books = finish(up, load, fake_smtp, f"{kills} kills at random")

    assert books.acknowledged > kills
    assert books.accepted > 0
    assert books.balanced, str(books)


# Places that a running `up` passes only after another death, or never; the tests below, or those named here, kill there.
AFTER = {"notifier.calling.before_resolve": "notifier.calling.after_open", "notifier.calling.after_resolve": "notifier.calling.after_open"}
FIRST_START = ("connectors.poller.after_start", "connectors.poller.after_start_stored")
OPERATOR = {"bus.after_redrive": "redrive", "bus.after_discard": "discard"}
ELSEWHERE = {
    "router.sweeper.after_outcomes": "thirty days must pass: services/router/tests/unit/test_router_failpoints.py",
    "bus.between_publishes": "on Kafka only: libs/runtime/tests/integration/test_bus_kafka_recovery.py",
}


def places() -> list[str]:
    """Every named place in the code that ships; a sample of them in a short run; those of THREADLINE_FAULTS_PLACES where that is set."""
    if chosen := os.environ.get("THREADLINE_FAULTS_PLACES"):
        return chosen.split(",")
    names = all_failpoints([path / "src" for path in (*ROOT.glob("libs/*"), *ROOT.glob("services/*"), ROOT / "cli")])
    reached = [name for name in names if name not in {*FIRST_START, *OPERATOR, *ELSEWHERE}]
    return random.Random(SEED).sample(reached, 10) if SHORT else reached


def kill_at(up: Standalone, name: str) -> bool:
    """Start it so that it dies there (`name@3`: at the third passing); whether it did."""
    up.kill()
    place, _, passing = name.partition("@")
    up.env = {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": f"{place}=kill@{passing or 1}"}
    up.start(wait=False)
    died = up.dies_by_its_own_hand(within=30)
    up.kill()
    up.env = {}
    return died


def test_killed_at_every_named_place(up: Standalone, mail_world: MailWorld, fake_smtp: FakeSmtp) -> None:
    """Between every pair of steps: the process dies there under load, and what it left is carried on."""
    missed: list[str] = []
    chosen = places()
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED, pause=0.1)
    load.start()
    for name in chosen:
        if name == "notifier.worker.after_postpone":
            fake_smtp.script(Step(Fate.REFUSE_DATA))
        if name in AFTER:
            kill_at(up, AFTER[name])
        if not kill_at(up, name):
            missed.append(name)
    books = finish(up, load, fake_smtp, f"{len(chosen) - len(missed)} of {len(chosen)} places hit, never reached: {missed or 'none'}")

    assert books.balanced, str(books)
    assert not missed


@pytest.mark.parametrize("name", FIRST_START)
def test_killed_before_the_starting_point_is_known(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp, name: str) -> None:
    """P1: the first start of a mailbox loses nothing, wherever it dies."""
    up = Standalone(tmp_path / "data", configured(tmp_path, mail_world, fake_smtp))
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED)
    load.write_once(20)

    assert kill_at(up, name)
    with up:
        books = settle(up, load.history, fake_smtp, within=60)

    assert books.balanced, str(books)


@pytest.mark.parametrize(("name", "verb"), list(OPERATOR.items()))
def test_killed_while_an_operator_deals_with_a_dead_letter(up: Standalone, name: str, verb: str) -> None:
    """P8: a verb that died is said again and the letter is dealt with."""
    Oddities(up.data, SEED).poison()
    letters = up.until("dead letters", lambda: dead_letters(up), within=30)
    dying = {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": f"{name}=kill"}

    killed = threadline("dlq", verb, letters[0], "--data", str(up.data), env=dying)
    again = threadline("dlq", verb, letters[0], "--data", str(up.data))

    assert killed.returncode == -signal.SIGKILL
    assert again.returncode == 0, again.stderr
    assert verb == "redrive" or letters[0] not in dead_letters(up)


def dead_letters(up: Standalone) -> list[str]:
    lines = threadline("dlq", "list", "--json", "--data", str(up.data)).stdout.splitlines()
    return [json.loads(line)["reference"] for line in lines]
