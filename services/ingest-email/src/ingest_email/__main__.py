"""`python -m ingest_email`: the service as a process of its own. `python -m ingest_email migrate` creates its tables and ends."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from threadline_runtime.foundations import Foundations
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.process import ServiceProcess, run_process

from ingest_email.app import IngestEmail, Surroundings, mail_accounts, migrate, open_checkpoints


@asynccontextmanager
async def _built(base: Foundations, life: Lifecycle) -> AsyncIterator[None]:
    accounts = mail_accounts(base.configuration, base.environment)
    with tempfile.TemporaryDirectory(prefix="threadline-mail-") as spool:
        around = Surroundings(base.bus, base.blobs, open_checkpoints(base.database), base.leases, base.metrics, Path(spool))
        service = IngestEmail(accounts, around)

        async def mailboxes() -> str | None:
            return "; ".join(f"{name}: {reason}" for name, reason in service.problems().items()) or None

        base.health.add_probe("blobs", base.blobs.probe)
        base.health.add_readiness("accounts", mailboxes)
        life.add("ingest-email", service.run, stage=Stage.INTAKE)
        yield


PROCESS = ServiceProcess("ingest_email", "threadline-ingest-email", migrate, _built)

if __name__ == "__main__":
    sys.exit(run_process(PROCESS, sys.argv[1:]))
