"""P2 on SQLite: every topic read again from its first record by every group changes nothing in the database and sends nothing.

On Kafka and MongoDB the same is a class of `test_services_faults`.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from threadline_cli.testing.conservation import settle
from threadline_cli.testing.fault_world import configured
from threadline_cli.testing.lag import GROUPS, seconds_to_catch_up
from threadline_cli.testing.load import Load
from threadline_cli.testing.standalone import Standalone
from threadline_cli.testing.under_load import SEED, SHORT
from threadline_runtime.testing.fake_smtp import FakeSmtp
from threadline_runtime.testing.mail_world import MailWorld

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(1800)]
TIME = ("leases", "beats")
LOAD_SECONDS = 6.0 if SHORT else 120.0


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld, fake_smtp: FakeSmtp) -> Iterator[Standalone]:
    with Standalone(tmp_path / "data", configured(tmp_path, mail_world, fake_smtp.port)) as running:
        yield running


def stored(database: Path) -> Mapping[str, list[str]]:
    """Table to its rows as text, but what is time and not fact: leases, beats, tokens of leases, and when a lane is looked at next."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: _rows(connection, name) for name in names if not name.endswith(TIME)}
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection, table: str) -> list[str]:
    left_out = {"token", "due"} if table.endswith("lanes") else {"token"}
    found = (dict(row) for row in connection.execute(f"SELECT * FROM {table}"))
    return sorted(repr({key: value for key, value in row.items() if key not in left_out}) for row in found)


def rewind(bus: Path) -> int:
    """Set every group back to the first record; how many offsets there were."""
    with sqlite3.connect(bus) as connection:
        moved = connection.execute("UPDATE bus_offsets SET next_offset = 0 WHERE next_offset > 0").rowcount
    connection.close()
    return moved


def test_whole_topics_read_again_from_the_start(up: Standalone, mail_world: MailWorld, fake_smtp: FakeSmtp) -> None:
    """Mail in, replies out, links, notes, bounces and poison: read again, the same rows stand and nothing more is sent."""
    load = Load(up, mail_world.dovecot, fake_smtp, seed=SEED)
    load.start()
    time.sleep(LOAD_SECONDS)
    history = load.stop()
    books = settle(up, history, fake_smtp, within=120)
    assert books.balanced, str(books)
    assert books.accepted > 0
    up.until("what was snoozed to be open again", lambda: not up.conversations(status="snoozed"), within=60)
    assert up.stop() == 0
    before, sent = stored(up.data / "threadline.db"), len(fake_smtp.received)

    moved = rewind(up.data / "bus.db")
    up.start()
    seconds = seconds_to_catch_up(up.bus_url, within=300)
    assert up.stop() == 0
    after = stored(up.data / "threadline.db")

    rows = sum(map(len, before.values()))
    print(f"\n{moved} offsets of {len(GROUPS)} groups set back (seed {SEED}): read again in {seconds:.1f} s, {rows} rows compared")
    changed = {name: set(before[name]) ^ set(after[name]) for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert not changed, str(changed)[:6000]
    assert len(fake_smtp.received) == sent
    up.start()
    again = settle(up, history, fake_smtp, within=120)
    assert (again.lost, again.doubled, again.sent_twice) == ([], [], []), str(again)
