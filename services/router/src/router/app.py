"""Puts the router together: stores, workers, consumers, the API. The only place that does.

Not here: opening bus, database and blobs, and the process around it (`__main__`, or `threadline up`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import FastAPI
from threadline_events.commands import AnyCommand
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.port import Bus
from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.errors import TransientError
from threadline_runtime.http import HttpServer
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import OpenDatabase
from threadline_runtime.signing import SigningKeys

from router.amending import Amending
from router.api.app import create_app
from router.api.feed import LiveFeed
from router.api.keys import KeyStore
from router.api.parts import ApiParts, CommandConflict
from router.api.problems import Problem
from router.api.singles import Singles
from router.api.stores import described
from router.audit import Audit
from router.commands import CommandConflictError, Commands, UnknownTargetError
from router.consuming import GROUPS, Consumers
from router.deriving import derive
from router.domain.documents import EntryDocument
from router.domain.policy import Account, BrandPolicy, Policies
from router.domain.tokens import MailSigner
from router.journal import Journal
from router.linking import Linking
from router.outbox import Outbox
from router.parts import Parts
from router.pipeline import Pipeline
from router.self_check import SelfCheck
from router.stores import migrate, stores_of
from router.sweeper import Sweeper
from router.tally import MetricsTally

__all__ = ["Router", "Surroundings", "build_router", "migrate", "policies_of"]

_AGAIN_SECONDS = 2.0
_log = structlog.stdlib.get_logger("threadline.router")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process gives the router."""

    bus: Bus
    database: OpenDatabase
    blobs: BlobStore
    configuration: Configuration
    signing: SigningKeys
    metrics: Metrics
    randomness: Callable[[int], bytes]


def _now() -> datetime:
    return datetime.now(UTC)


def policies_of(configuration: Configuration) -> Policies:
    """Brands and accounts as the rules need them."""
    brands = {name: BrandPolicy(name, brand.name, timedelta(days=brand.reopen_within_days)) for name, brand in configuration.brands.items()}
    accounts = {}
    for entry in configuration.accounts:
        address, form = entry.values.get("address"), entry.values.get("form")
        accounts[entry.id] = Account(
            entry.id, entry.channel, entry.brand, address if isinstance(address, str) else None, entry.display_name, form is True
        )
    return Policies(brands, accounts)


class _CommandDesk:
    """The API's way to commands, with the API's own name for a conflict."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def ask(self, command: AnyCommand) -> EntryDocument:
        """The one entry that the command left; raises CommandConflict."""
        try:
            return await self._commands.submit(command)
        except CommandConflictError as error:
            raise CommandConflict(str(error)) from error
        except UnknownTargetError as error:
            raise Problem(404, "not_found", "There is no such conversation or message, or this key may not see it.") from error


@dataclass(frozen=True, slots=True)
class Router:
    """The router's parts, ready to run. `web` is the ASGI application."""

    bus: Bus
    parts: Parts
    consumers: Consumers
    commands: Commands
    pipeline: Pipeline
    outbox: Outbox
    sweeper: Sweeper
    audit: Audit
    self_check: SelfCheck
    keys: KeyStore
    feed: LiveFeed
    web: FastAPI
    metrics: Metrics

    async def run(self) -> None:
        """Consume, sweep and follow the timeline until cancelled; a cancel lets batches in hand end. A bus that is away is waited for."""
        try:
            await self._begin_feed()
            async with asyncio.TaskGroup() as group:
                for subscription in self.consumers.all():
                    group.create_task(self.bus.consume(subscription), name=subscription.group)
                group.create_task(self.sweeper.run(), name="router-sweeper")
                group.create_task(self.self_check.run(), name="router-self-check")
                group.create_task(self.feed.run(), name="router-feed")
                group.create_task(self._watch(), name="router-progress")
        finally:
            await self.feed.close()

    async def _begin_feed(self) -> None:
        """Before anything is changed, so that the streams miss nothing of it."""
        while not self.feed.begun:
            try:
                await self.feed.start()
            except TransientError as error:
                _log.warning("waits for the bus", reason=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    async def serve(self, door: HttpServer) -> None:
        """Serve page and API; when asked to end, the streams are ended first, for they would never end by themselves."""
        work = asyncio.create_task(door.serve(self.web))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await self.feed.close()
            work.cancel()
            await asyncio.wait([work])
            raise

    async def derive_all(self) -> int:
        """Derive every summary again (`threadline check --derive`); how many strands there are."""
        count = 0
        async for page in self.parts.timeline.all_strand_ids():
            await derive(self.parts, page)
            count += len(page)
        return count

    async def _watch(self) -> None:
        """Show now and then how far behind the groups are; a bus that is away for a while must not end the router."""
        while True:
            try:
                for topic, group in GROUPS.items():
                    self.metrics.progressed(group, await self.bus.progress(group, [topic]), _now())
            except TransientError as error:
                _log.warning("progress not known", error_class=type(error).__name__)
            await asyncio.sleep(5)


def build_router(around: Surroundings) -> Router:
    """Everything of the router over what the process opened. `migrate` must have run."""
    stores = stores_of(around.database)
    timeline, journal = stores.timeline, stores.journal
    policies = policies_of(around.configuration)
    signer = MailSigner(around.signing, policies.mail_accounts())
    tally = MetricsTally(around.metrics)
    parts = Parts(timeline, timeline, timeline, described(stores.uploads), around.bus, _now, policies, signer, tally)
    amending = Amending(parts)
    outbox = Outbox(parts, amending)
    linking = Linking(parts, outbox)
    pipeline = Pipeline(parts, outbox, amending, linking)
    commands = Commands(parts, outbox, linking)
    feed = LiveFeed(around.bus, on_error=lambda error: _log.warning("timeline feed", error_class=type(error).__name__))
    api = ApiParts(
        store=timeline,
        journal=journal,
        blobs=around.blobs,
        keys=stores.keys,
        singles=Singles.of(stores.keys, timeline),
        idempotency=stores.idempotency,
        uploads=stores.uploads,
        commands=_CommandDesk(commands),
        feed=feed,
        brands=tuple(policies.brands),
        now=_now,
        randomness=around.randomness,
    )
    probes = (around.bus.probe, around.database.probe)
    audit = Audit(journal, timeline, around.bus, GROUPS)
    return Router(
        bus=around.bus,
        parts=parts,
        consumers=Consumers(parts, Journal(journal, around.blobs), pipeline, commands, amending, probes),
        commands=commands,
        pipeline=pipeline,
        outbox=outbox,
        sweeper=Sweeper(parts, outbox),
        audit=audit,
        self_check=SelfCheck(audit, around.metrics, _now),
        keys=stores.keys,
        feed=feed,
        web=create_app(api),
        metrics=around.metrics,
    )
