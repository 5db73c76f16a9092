"""P1, P2, P3, P4, P9: `threadline up` is killed under load, at random and at every named place; at the end the books must balance.

The environment says how long: THREADLINE_FAULTS=short for CI, full else. Counts are printed, whatever the result.
"""

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadline_cli.testing.conservation import Books, settle
from threadline_cli.testing.load import Load
from threadline_cli.testing.standalone import MailAccount, Standalone, accounts_file
from threadline_runtime.failpoints import all_failpoints
from threadline_runtime.testing.fake_smtp import FakeSmtp
from threadline_runtime.testing.mail_world import OTHER_BRAND, SALES, SUPPORT, MailWorld

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(1800)]
SHORT = os.environ.get("THREADLINE_FAULTS") == "short"
SEED = int(os.environ.get("THREADLINE_FAULTS_SEED", str(random.SystemRandom().getrandbits(32))))
SEEDED = os.environ.get("THREADLINE_SEEDED_FAULT")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp) -> Iterator[Standalone]:
    relay = {"smtp": {"host": fake_smtp.host, "port": fake_smtp.port, "tls": "none"}}
    accounts = [
        MailAccount("acme-support", "acme", SUPPORT, **relay),
        MailAccount("acme-sales", "acme", SALES, **relay),
        MailAccount("globex-support", "globex", OTHER_BRAND, **relay),
    ]
    running = Standalone(tmp_path / "data", accounts_file(tmp_path / "threadline.yaml", mail_world, accounts))
    if SEEDED:
        running.program = [sys.executable, str(ROOT / "tests" / "faults" / "seeded.py")]
    with running:
        yield running


def finish(up: Standalone, load: Load, sink: FakeSmtp, what: str) -> Books:
    """Stop the load, start what is dead, wait for rest, print the counts."""
    if not up.running:
        up.start()
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


def places() -> list[str]:
    """Every named place in the code that ships; a sample of them in a short run; those of THREADLINE_FAULTS_PLACES where that is set."""
    if chosen := os.environ.get("THREADLINE_FAULTS_PLACES"):
        return chosen.split(",")
    names = list(all_failpoints([path / "src" for path in (*ROOT.glob("libs/*"), *ROOT.glob("services/*"), ROOT / "cli")]))
    return random.Random(SEED).sample(names, 10) if SHORT else names


def test_killed_at_every_named_place(tmp_path: Path, up: Standalone, mail_world: MailWorld, fake_smtp: FakeSmtp) -> None:
    """Between every pair of steps: the process dies there, once early and once later, and what it left is carried on."""
    hit: list[str] = []
    missed: list[str] = []
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED, pause=0.1)
    load.start()
    for name in places():
        up.kill()
        up.env = {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": f"{name}=kill"}
        up.start(wait=False)
        (hit if up.died(within=12) else missed).append(name)
    up.kill()
    up.env = {}
    books = finish(up, load, fake_smtp, f"{len(hit)} places hit, never reached: {missed or 'none'}")

    assert books.balanced, str(books)
    assert not missed
