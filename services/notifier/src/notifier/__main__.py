"""`python -m notifier`: the notifier as a process of its own. `python -m notifier migrate` creates its tables and ends."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from threadline_runtime.foundations import Foundations
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.process import ServiceProcess, run_process

from notifier.app import Notifier, Surroundings, migrate, open_store, sending_accounts


@asynccontextmanager
async def _built(base: Foundations, life: Lifecycle) -> AsyncIterator[None]:
    accounts = sending_accounts(base.configuration, base.environment)
    notifier = Notifier(accounts, Surroundings(base.bus, base.blobs, open_store(base.database), base.leases, base.metrics))

    async def sending() -> str | None:
        return "; ".join(f"{name}: {reason}" for name, reason in notifier.problems().items()) or None

    base.health.add_readiness("accounts", sending)
    life.add("notifier", notifier.run, stage=Stage.WORK)
    yield


PROCESS = ServiceProcess("notifier", "threadline-notifier", migrate, _built)

if __name__ == "__main__":
    sys.exit(run_process(PROCESS, sys.argv[1:]))
