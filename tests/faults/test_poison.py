"""P8: poison of every kind mixed evenly with good mail: all good ones through, all poison in the dead letters, byte for byte."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from router.app import Router, migrate
from router.testing.small_shop import router_on
from threadline_cli.testing.flood import Flood, letters_of, pass_through
from threadline_cli.testing.under_load import SEED, SHORT
from threadline_runtime.opening import migrate_bus, open_bus, open_database
from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.mongodb import database_url, running_mongodb

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(1800)]
EACH = int(os.environ.get("THREADLINE_FAULTS_POISON", "500" if SHORT else "10000"))


@pytest.fixture(params=["sqlite", "kafka-mongodb"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bus.db", f"sqlite:///{tmp_path}/threadline.db"
        return
    with running_kafka() as kafka, running_mongodb() as mongodb:
        yield kafka.url, database_url(mongodb.url, "threadline")


@pytest.fixture
async def router(urls: tuple[str, str], tmp_path: Path) -> AsyncIterator[Router]:
    async with AsyncExitStack() as stack:
        bus = await open_bus(urls[0], version="test")
        stack.push_async_callback(bus.close)
        database = open_database(urls[1])
        stack.push_async_callback(database.close)
        await migrate(database)
        await migrate_bus(bus)
        yield router_on(bus, database, tmp_path)


async def test_poison_of_every_kind_between_good_mail(router: Router) -> None:
    """Every good mail is an entry, every unreadable record one dead letter with its exact bytes and a reason."""
    flood = Flood(good=EACH, poison=EACH, seed=SEED)
    passed = await pass_through(router, flood.records(), within=900)
    letters = await letters_of(router)

    print(f"\n{EACH} good and {EACH} poison (seed {SEED}) in {passed.seconds:.1f} s: {Counter(reason for _, reason in letters)}")
    stored = await router.parts.timeline.entries(flood.message_ids())
    assert Counter(letter for letter, _ in letters) == Counter(flood.poisoned())
    assert all(reason for _, reason in letters)
    assert len(stored) == EACH
