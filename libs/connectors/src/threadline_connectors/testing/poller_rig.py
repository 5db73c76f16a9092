"""Everything a poller's host needs, on SQLite, so that a test of a poller starts with what the source holds.

Not here: the source itself; a test brings its poller and reader.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry
from threadline_events import topics
from threadline_events.inbound import InboundEvent
from threadline_events.intakes import Intake
from threadline_events.records import intake_of
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.port import Bus
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.metrics import Metrics
from threadline_runtime.sqlite import MEMORY, SqliteDatabase

from threadline_connectors.accounts import AccountBoard, AccountState, Condition
from threadline_connectors.checkpoints import SqliteCheckpointStore
from threadline_connectors.poller_host import Feed, PollerHost, PollerServices
from threadline_connectors.pollers import Source
from threadline_connectors.publishing import IntakePublisher
from threadline_connectors.source_metrics import SourceMetrics

__all__ = ["PollerRig", "poller_rig"]

PayloadT = TypeVar("PayloadT")
_LOOK_SECONDS = 0.02
_QUICKLY = 0.02


@dataclass
class PollerRig:
    """A bus, blobs, checkpoints and leases, and hosts that run feeds over them."""

    bus: Bus
    blobs: FileBlobs
    services: PollerServices
    checkpoints: SqliteCheckpointStore
    metrics: CollectorRegistry
    database: SqliteDatabase

    @asynccontextmanager
    async def running(self, feeds: Sequence[Feed[PayloadT]]) -> AsyncIterator[None]:
        """Run feeds; at the end they are cancelled as a stopping process does."""
        tasks = [asyncio.create_task(PollerHost(feed, self.services).run()) for feed in feeds]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def events(self) -> list[InboundEvent]:
        """Every event on the bus, in the order of their partitions."""
        return [InboundEvent.model_validate_json(record.value or b"") async for record in self.bus.read(topics.INBOUND)]

    async def intakes(self) -> list[Intake]:
        """Every intake on the bus."""
        return [intake_of(record.value or b"", record.headers) async for record in self.bus.read(topics.INTAKES)]

    def counted(self, name: str, **labels: str) -> float | None:
        """The value of a metric, without its `threadline_`."""
        return self.metrics.get_sample_value("threadline_" + name, labels)

    async def until_counted(self, value: float, name: str, *, within: float = 20.0, **labels: str) -> None:
        """Wait until a metric has a value."""
        found = self.counted(name, **labels)
        async with asyncio.timeout(within):
            while found != value:
                await asyncio.sleep(_LOOK_SECONDS)
                found = self.counted(name, **labels)

    async def until_intakes(self, count: int, within: float = 20.0) -> list[Intake]:
        """The intakes once there are at least `count`."""
        found = await self.intakes()
        async with asyncio.timeout(within):
            while len(found) < count:
                await asyncio.sleep(_LOOK_SECONDS)
                found = await self.intakes()
        return found

    async def until(self, source: Source, *conditions: Condition, within: float = 20.0) -> AccountState:
        """The state of a source once it is one of these."""
        state = self.services.board.state(source)
        async with asyncio.timeout(within):
            while state is None or state.condition not in conditions:
                await asyncio.sleep(_LOOK_SECONDS)
                state = self.services.board.state(source)
        return state


@asynccontextmanager
async def poller_rig(
    folder: Path,
    *,
    database: str | Path = MEMORY,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    bus: Bus | None = None,
) -> AsyncIterator[PollerRig]:
    """A rig whose waits are short: what would be minutes between rounds is a moment here. A `bus` that is given is closed at the end."""
    store = SqliteDatabase.open(database)
    bus = bus or await SqliteBus.open(store)
    blobs = FileBlobs.open(folder / "blobs")
    checkpoints = SqliteCheckpointStore(store)
    await checkpoints.migrate()
    lease_store = SqliteLeaseStore(store)
    await lease_store.migrate()
    leases = Leases(lease_store, "rig", asyncio.get_running_loop().time, sole=True)
    registry = CollectorRegistry()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, _QUICKLY))

    services = PollerServices(
        publisher=IntakePublisher(bus, blobs),
        checkpoints=checkpoints,
        leases=leases,
        board=AccountBoard(),
        metrics=SourceMetrics(Metrics(registry)),
        now=now,
        sleep=sleep,
        random=lambda: 0.5,
    )
    try:
        yield PollerRig(bus, blobs, services, checkpoints, registry, store)
    finally:
        await bus.close()
        await store.close()
