"""Known mistakes, built into the running code on purpose: `make faults-check` expects the faults suite to turn red for each.

Run as a program it is the `threadline` command with the mistake that its first argument names; as a pytest plugin (`-p seeded`)
it builds that of THREADLINE_SEEDED_FAULT into the test process.
Not here: the two mistakes that only interleavings show (the router's model has them).
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from notifier.reporting import Reporter, report_of
from router.outbox import Outbox
from threadline_connectors.poller_host import PollerHost
from threadline_events.records import delivery_record
from threadline_runtime.bus.processing import Processor
from threadline_runtime.failpoints import failpoint
from threadline_runtime.leases.leases import Leases


def commit_before_effect() -> None:
    """The offsets of a batch are committed before it is handled."""
    real = Processor.process

    async def process(self: Any, records: Any) -> None:
        await self._commit(records)
        await real(self, records)

    Processor.process = process  # type: ignore[method-assign]


def publish_skipped_after_insert() -> None:
    """What is found filed already is not published: a crash between the insert and the publish is never made good."""
    real = Outbox._file

    async def file(self: Any, entries: Any) -> Any:
        before = await self._parts.timeline.entries([entry.message_id for entry in entries])
        return await real(self, [entry for entry in entries if entry.message_id not in before])

    Outbox._file = file  # type: ignore[method-assign]


def outbox_cleared_before_publish() -> None:
    """Decisions are taken out of the outbox before they are carried out."""
    real = Outbox.perform

    async def perform(self: Any, tasks: Any) -> None:
        await self._pull(tasks)
        await real(self, tasks)

    Outbox.perform = perform  # type: ignore[method-assign]


def checkpoint_before_publish() -> None:
    """A poller's position is stored before what it fetched is on the bus."""

    async def publish(self: Any, lease: Any, ready: Any) -> None:
        while True:
            one = await ready.get()
            await self._with.checkpoints.store(self._feed.source, lease.token, one.batch.position)
            await failpoint("connectors.poller.after_checkpoint")
            if one.taken:
                await self._until_durable(one.taken)
            await self._feed.poller.published(one.batch)
            self._progressed(one)

    PollerHost._publish = publish  # type: ignore[method-assign]


def wall_clock_lease() -> None:
    """A lease is free when the beat, a wall-clock time, is older than the observer's wall clock allows."""

    async def raise_beat(self: Any) -> None:
        await self._store.beat(self._holder, int(time.time()))

    def is_free(self: Any, name: str, sighting: Any, asked: float, answered: float) -> bool:
        return sighting.lease is None or sighting.lease.holder is None or time.time() - (sighting.beat or 0) > 20

    Leases.raise_beat = raise_beat  # type: ignore[method-assign]
    Leases._is_free = is_free  # type: ignore[method-assign]


def unreported_state() -> None:
    """A delivery is marked as reported before the report is on the bus."""

    async def report(self: Any, delivery: Any) -> None:
        await self._mark(delivery)
        await failpoint("notifier.reporting.before_publish")
        await self._publish([delivery_record(report_of(delivery))])

    Reporter.report = report  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "commit-before-effect": commit_before_effect,
    "publish-skipped-after-insert": publish_skipped_after_insert,
    "outbox-cleared-before-publish": outbox_cleared_before_publish,
    "checkpoint-before-publish": checkpoint_before_publish,
    "wall-clock-lease": wall_clock_lease,
    "unreported-state": unreported_state,
}


def pytest_configure() -> None:
    """Build the chosen mistake into the test process."""
    FAULTS[os.environ["THREADLINE_SEEDED_FAULT"]]()


if __name__ == "__main__":
    from threadline_cli.main import run

    FAULTS[sys.argv.pop(1)]()
    run()
