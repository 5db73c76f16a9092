"""The notifier in a process of its own that owns its folder, as under `threadline up`; killed by tests at its failpoints.

The schedule is made short, since a test does not wait for minutes. Not a test itself.
"""

import asyncio
import os
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

from notifier.app import Notifier, Surroundings, migrate, open_store, sending_accounts
from notifier.domain import backoff
from prometheus_client import CollectorRegistry
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.failpoints import arm_failpoints
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_blobs, open_bus, open_database


async def run(folder: Path) -> None:
    database = open_database(f"sqlite:///{folder}/threadline.db")
    bus = await open_bus(f"sqlite:///{folder}/bus.db", version="test")
    await migrate(database)
    leases = SqliteLeaseStore(database)
    await leases.migrate()
    accounts = sending_accounts(load_configuration(folder / "threadline.yaml"), os.environ)
    held = Leases(leases, uuid.uuid4().hex, time.monotonic, sole=True)
    around = Surroundings(bus, open_blobs(f"file://{folder}/blobs"), open_store(database), held, Metrics(CollectorRegistry()))
    life = Lifecycle()
    life.add("notifier", Notifier(accounts, around).run, stage=Stage.WORK)
    life.add("leases", held.run, stage=Stage.SUPPORT)
    await life.run()
    await bus.close()
    await database.close()


if __name__ == "__main__":
    backoff._SCHEDULE = (timedelta(milliseconds=50),)
    backoff._REPEAT = timedelta(milliseconds=50)
    backoff._PAUSE = timedelta(milliseconds=50)
    arm_failpoints(os.environ)
    asyncio.run(run(Path(sys.argv[1])))
