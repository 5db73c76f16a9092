"""P1, P2, P3, P4, P9: `threadline up` is killed under load, at random and at every named place, on SQLite as on Kafka and MongoDB.

The environment says how long: THREADLINE_FAULTS=short for CI, full else. At the end the books must balance; counts are printed.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from threadline_cli.testing.conservation import Books, settle
from threadline_cli.testing.fault_world import configured, servers
from threadline_cli.testing.lag import seconds_to_catch_up
from threadline_cli.testing.load import Load
from threadline_cli.testing.oddities import Oddities
from threadline_cli.testing.standalone import Standalone, threadline
from threadline_cli.testing.under_load import RECOVERY_SECONDS, SEED, SHORT
from threadline_runtime.failpoints import all_failpoints
from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step
from threadline_runtime.testing.mail_world import MailWorld

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(7200)]
SEEDED = os.environ.get("THREADLINE_SEEDED_FAULT")
ROOT = Path(__file__).resolve().parents[2]


SQLITE, KAFKA_MONGODB = "sqlite", "kafka-mongodb"
EVERYWHERE = (SQLITE, KAFKA_MONGODB)
NOT_IN_A_HURRY = (SQLITE,) if SHORT else EVERYWHERE
"""A dead process's groups and leases cost half a minute each time on servers; a short run has `test_services_faults` for that."""


@dataclass(frozen=True)
class Place:
    """What `threadline up` stands on, and how patient one has to be there.

    Of servers that others may use, no lock file says that a dead process's leases are free (20 s) or that it left its groups (6 s for
    each that died there).
    """

    adapters: str
    env: Mapping[str, str]
    patience: float


@pytest.fixture
def place(request: pytest.FixtureRequest, mail_world: MailWorld, certificates: Certificates) -> Iterator[Place]:
    if request.param == SQLITE:
        yield Place(SQLITE, {}, 30)
        return
    with servers(mail_world, certificates, lambda: request.session.testsfailed) as found:
        yield Place(request.param, found.direct, 180)


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp, place: Place) -> Iterator[Standalone]:
    running = Standalone(tmp_path / "data", configured(tmp_path, mail_world, fake_smtp.port), env=place.env)
    if SEEDED:
        running.program = [sys.executable, str(ROOT / "tests" / "faults" / "seeded.py"), SEEDED]
    with running:
        yield running


def finish(up: Standalone, load: Load, sink: FakeSmtp, what: str) -> Books:
    """Stop the load, start what is dead, wait for rest, print the counts."""
    if not up.running:
        up.start()
    up.wait_until_up()
    recovered = seconds_to_catch_up(up.bus_url, RECOVERY_SECONDS)
    history = load.stop()
    books = settle(up, history, sink, within=120)
    counts = f"refused {history.refused}, commands {len(history.commands)}, bounces {history.bounces}"
    print(f"\n{what} (seed {SEED}): {books}; {counts}; zero lag again after {recovered:.1f} s")
    return books


@pytest.mark.parametrize("place", NOT_IN_A_HURRY, indirect=True)
def test_killed_at_random_under_load(up: Standalone, place: Place, mail_world: MailWorld, fake_smtp: FakeSmtp) -> None:
    """Class 1: 0 lost, 0 doubled, 0 sent twice other than counted repeats, nothing missing in the audit."""
    kills = 8 if SHORT else 50
    dice = random.Random(SEED)
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED)
    load.start()

    for number in range(kills):
        time.sleep(dice.uniform(0.05, 2.0))
        up.kill()
        up.start(wait=dice.random() < 0.8)
        if place.adapters == KAFKA_MONGODB and number % 5 == 0:
            # Else it would die each time before its groups and leases are its own.
            time.sleep(dice.uniform(10.0, 26.0))
    books = finish(up, load, fake_smtp, f"{kills} kills at random on {place.adapters}")

    assert books.acknowledged > kills
    assert books.accepted > 0
    assert books.balanced, str(books)


# Places that a running `up` passes only after another death, or never; the tests below, or those named here, kill there.
AFTER = {"notifier.calling.before_resolve": "notifier.calling.after_open", "notifier.calling.after_resolve": "notifier.calling.after_open"}
FIRST_START = ("connectors.poller.after_start", "connectors.poller.after_start_stored")
OPERATOR = {"bus.after_redrive": "redrive", "bus.after_discard": "discard"}
ELSEWHERE = {
    "router.sweeper.after_outcomes": "thirty days must pass: services/router/tests/unit/test_router_failpoints.py",
}
ON_KAFKA_ONLY = {"bus.between_publishes"}


def places(adapters: str) -> list[str]:
    """Every named place in the code that ships; a sample of them in a short run; those of THREADLINE_FAULTS_PLACES where that is set."""
    if chosen := os.environ.get("THREADLINE_FAULTS_PLACES"):
        return chosen.split(",")
    names = all_failpoints([path / "src" for path in (*ROOT.glob("libs/*"), *ROOT.glob("services/*"), ROOT / "cli")])
    elsewhere = {*FIRST_START, *OPERATOR, *ELSEWHERE, *(ON_KAFKA_ONLY if adapters == SQLITE else ())}
    reached = [name for name in names if name not in elsewhere]
    return random.Random(SEED).sample(reached, 10 if adapters == SQLITE else 2) if SHORT else reached


def kill_at(up: Standalone, name: str, within: float) -> bool:
    """Start it so that it dies there (`name@3`: at the third passing); whether it did."""
    up.kill()
    point, _, passing = name.partition("@")
    unarmed = up.env
    up.env = unarmed | {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": f"{point}=kill@{passing or 1}"}
    up.start(wait=False)
    died = up.dies_by_its_own_hand(within)
    up.kill()
    up.env = unarmed
    return died


@pytest.mark.parametrize("place", EVERYWHERE, indirect=True)
def test_killed_at_every_named_place(up: Standalone, place: Place, mail_world: MailWorld, fake_smtp: FakeSmtp) -> None:
    """Class 2: between every pair of steps: the process dies there under load, and what it left is carried on."""
    missed: list[str] = []
    chosen = places(place.adapters)
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED, pause=0.1)
    load.start()
    for name in chosen:
        if name == "notifier.worker.after_postpone":
            fake_smtp.script(Step(Fate.REFUSE_DATA))
        if name in AFTER:
            kill_at(up, AFTER[name], place.patience)
        if not kill_at(up, name, place.patience):
            missed.append(name)
        print(".!"[name in missed], end="", flush=True)
    hit = f"{len(chosen) - len(missed)} of {len(chosen)} places hit on {place.adapters}"
    books = finish(up, load, fake_smtp, f"{hit}, never reached: {missed or 'none'}")

    assert books.balanced, str(books)
    assert not missed


@pytest.mark.parametrize("place", NOT_IN_A_HURRY, indirect=True)
@pytest.mark.parametrize("name", FIRST_START)
def test_killed_before_the_starting_point_is_known(
    tmp_path: Path, place: Place, mail_world: MailWorld, fake_smtp: FakeSmtp, name: str
) -> None:
    """P1: the first start of a mailbox loses nothing, wherever it dies."""
    up = Standalone(tmp_path / "data", configured(tmp_path, mail_world, fake_smtp.port), env=place.env)
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED)
    load.write_once(20)

    assert kill_at(up, name, place.patience)
    with up:
        books = settle(up, load.history, fake_smtp, within=90)

    assert books.balanced, str(books)


@pytest.mark.parametrize("place", NOT_IN_A_HURRY, indirect=True)
@pytest.mark.parametrize(("name", "verb"), list(OPERATOR.items()))
def test_killed_while_an_operator_deals_with_a_dead_letter(up: Standalone, name: str, verb: str) -> None:
    """P8: a verb that died is said again and the letter is dealt with."""
    Oddities(up.bus_url, SEED).poison()
    letters = up.until("dead letters", lambda: dead_letters(up), within=30)
    dying = up.env | {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": f"{name}=kill"}

    killed = threadline("dlq", verb, letters[0], "--data", str(up.data), env=dying)
    again = threadline("dlq", verb, letters[0], "--data", str(up.data), env=up.env)

    assert killed.returncode == -signal.SIGKILL
    assert again.returncode == 0, again.stderr
    assert verb == "redrive" or letters[0] not in dead_letters(up)


def dead_letters(up: Standalone) -> list[str]:
    lines = threadline("dlq", "list", "--json", "--data", str(up.data), env=up.env).stdout.splitlines()
    return [json.loads(line)["reference"] for line in lines]
