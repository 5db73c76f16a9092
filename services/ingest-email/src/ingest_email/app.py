"""Puts the service together: accounts, parser processes, one host a folder. The only place that does.

Not here: opening bus, database and blobs, and the process around it (`__main__`, or `threadline up`).
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from threadline_connectors.accounts import AccountBoard
from threadline_connectors.checkpoints import CheckpointStore, SqliteCheckpointStore
from threadline_connectors.connectors import InboundChannel
from threadline_connectors.errors import AuthError, RetryableError
from threadline_connectors.poller_host import PollerHost, PollerServices
from threadline_connectors.pollers import Source
from threadline_connectors.publishing import IntakePublisher
from threadline_connectors.registry import INBOUND_GROUP, discover
from threadline_connectors.source_metrics import SourceMetrics
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.bus.port import Bus
from threadline_runtime.configuration.configuration import Configuration, validate_account
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.leases.leases import Leases
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import OpenDatabase
from threadline_runtime.sqlite import SqliteDatabase

from ingest_email.connectors.email import CHANNEL
from ingest_email.feeds import mail_feeds
from ingest_email.imap.folder_poller import FolderPoller
from ingest_email.imap.spool import Spool
from ingest_email.parsing import ParserPool
from ingest_email.settings import MailAccount

__all__ = [
    "FolderCheck",
    "IngestEmail",
    "Surroundings",
    "check_account",
    "inbound_channels",
    "mail_accounts",
    "migrate",
    "open_checkpoints",
]

_WORKERS = 2
_SECONDS_A_MAIL = 30.0
_BYTES_A_WORKER = 1 << 30


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process gives the service. `spool` is a folder for this process alone."""

    bus: Bus
    blobs: BlobStore
    checkpoints: CheckpointStore
    leases: Leases
    metrics: Metrics
    spool: Path


@dataclass(frozen=True, slots=True)
class FolderCheck:
    """What a real login found: mails in the folder, or what is wrong and what to do."""

    source: Source
    mails: int | None
    problem: str | None


class IngestEmail:
    """Takes mail in for its accounts; `board` shows how each folder does."""

    def __init__(self, accounts: Sequence[MailAccount], around: Surroundings, *, workers: int = _WORKERS) -> None:
        self._accounts = tuple(accounts)
        self._around = around
        self._workers = workers
        self.board = AccountBoard()

    async def run(self) -> None:
        """Run every mailbox until cancelled; without accounts it only waits."""
        if not self._accounts:
            await asyncio.Event().wait()
        spool = Spool(self._around.spool / "mails")
        await asyncio.to_thread(spool.prepare)
        pool = ParserPool(
            workers=self._workers,
            time_limit=_SECONDS_A_MAIL,
            memory_limit=_BYTES_A_WORKER,
            spool_dir=self._around.spool / "parts",
        )
        services = self._services()
        async with pool, asyncio.TaskGroup() as group:
            for account in self._accounts:
                for feed in mail_feeds(account, pool=pool, spool=spool, now=_now):
                    group.create_task(PollerHost(feed, services).run(), name=feed.source.lease_name)

    def problems(self) -> Mapping[str, str]:
        """Every folder that does not take mail in, for `/readyz`: which, and why."""
        bad = (state for state in self.board.states() if not state.healthy)
        return {f"{state.source.account_id}/{state.source.stream}": state.reason or state.condition.value for state in bad}

    def _services(self) -> PollerServices:
        return PollerServices(
            publisher=IntakePublisher(self._around.bus, self._around.blobs),
            checkpoints=self._around.checkpoints,
            leases=self._around.leases,
            board=self.board,
            metrics=SourceMetrics(self._around.metrics),
            now=_now,
            sleep=asyncio.sleep,
            random=random.random,
        )


def mail_accounts(configuration: Configuration, environment: Mapping[str, str]) -> tuple[MailAccount, ...]:
    """The configured mail accounts. Raises ConfigurationError with file and line."""
    entries = (entry for entry in configuration.accounts if entry.channel == CHANNEL.name)
    return tuple(validate_account(entry, MailAccount, environment) for entry in entries)


def inbound_channels() -> Mapping[str, InboundChannel]:
    """Every channel that this service takes in; raises ConfigurationError for a broken package."""
    return discover(InboundChannel, package="ingest_email.connectors", group=INBOUND_GROUP)


def open_checkpoints(database: OpenDatabase) -> CheckpointStore:
    """The checkpoints in the database."""
    if isinstance(database, SqliteDatabase):
        return SqliteCheckpointStore(database)
    from threadline_connectors.mongo_checkpoints import MongoCheckpointStore

    return MongoCheckpointStore(database)


async def migrate(database: OpenDatabase) -> None:
    """Create the service's tables where they are missing."""
    await open_checkpoints(database).migrate()


async def check_account(account: MailAccount, spool: Path) -> tuple[FolderCheck, ...]:
    """Log in and enter each folder, changing nothing; for `threadline check`."""
    return tuple([await _check_folder(account, folder, spool) for folder in account.imap.all_folders])


async def _check_folder(account: MailAccount, folder: str, spool: Path) -> FolderCheck:
    source = Source(account.id, folder)
    poller = FolderPoller(account.imap, folder, spool=Spool(spool), now=_now)
    try:
        return FolderCheck(source, await poller.check(), None)
    except (AuthError, RetryableError, ConfigurationError) as error:
        return FolderCheck(source, None, str(error))
    finally:
        await poller.close()


def _now() -> datetime:
    return datetime.now(UTC)
