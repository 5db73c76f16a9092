"""P1 to P4, P8 on MongoDB: `threadline up` is killed, and the database stalled and stopped, under load; then the books must balance.

The stand-in for MongoDB forgets its last second on `kill -9`, so it is stopped by SIGTERM here. Not here: killing a real `mongod`.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadline_cli.testing.conservation import settle
from threadline_cli.testing.fault_world import configured
from threadline_cli.testing.load import Load
from threadline_cli.testing.standalone import Standalone
from threadline_cli.testing.under_load import SEED, SHORT
from threadline_runtime.testing.fake_smtp import FakeSmtp
from threadline_runtime.testing.mail_world import MailWorld
from threadline_runtime.testing.mongodb import MongoServer, database_url, running_mongodb

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(1800)]
# Of a database that others may use no lock file says that a dead process's leases are free: they are taken after 20 s of silence.
UNTIL_LEASES_ARE_FREE = 26.0


@pytest.fixture
def server() -> Iterator[MongoServer]:
    with running_mongodb() as running:
        yield running


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp, server: MongoServer) -> Iterator[Standalone]:
    configuration = configured(tmp_path, mail_world, fake_smtp.port)
    with Standalone(tmp_path / "data", configuration, env={"THREADLINE_DATABASE__URL": database_url(server.url, "threadline")}) as running:
        yield running


def test_killed_stalled_and_stopped_under_load(up: Standalone, mail_world: MailWorld, fake_smtp: FakeSmtp, server: MongoServer) -> None:
    """0 lost, 0 doubled, 0 sent twice other than counted repeats, nothing missing in the audit; the process outlives its database."""
    kills = 1 if SHORT else 6
    dice = random.Random(SEED)
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED)
    load.start()
    for _ in range(kills):
        time.sleep(dice.uniform(1.0, 4.0))
        up.kill()
        up.start()
        time.sleep(UNTIL_LEASES_ARE_FREE)
    for _ in range(1 if SHORT else 3):
        server.stall()
        time.sleep(dice.uniform(2.0, 6.0))
        server.go_on()
        time.sleep(dice.uniform(1.0, 3.0))
        server.stop()
        time.sleep(dice.uniform(2.0, 6.0))
        server.start()
        time.sleep(dice.uniform(1.0, 3.0))
    assert up.running, up.said()[-2000:]
    history = load.stop()
    books = settle(up, history, fake_smtp, within=120)
    print(f"\n{kills} kills, stalls and stops (seed {SEED}): {books}; refused {history.refused}, commands {len(history.commands)}")

    assert books.accepted > 0
    assert books.balanced, str(books)
