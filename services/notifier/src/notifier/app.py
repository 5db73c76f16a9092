"""Puts the notifier together: senders found, accounts, one dispatcher each, the consumer. The only place that does.

Not here: opening bus, database and blobs, and the process around it (`__main__`, or `threadline up`).
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from threadline_connectors.errors import AuthError, DeliveryError
from threadline_connectors.registry import SENDER_GROUP, discover
from threadline_connectors.senders import BlobReader, SenderChannel, SenderEnvironment
from threadline_connectors.settings import ChannelAccount
from threadline_runtime.bus.port import Bus
from threadline_runtime.configuration.configuration import Configuration, validate_account
from threadline_runtime.errors import TransientError
from threadline_runtime.leases.leases import Leases
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import OpenDatabase
from threadline_runtime.sqlite import SqliteDatabase

from notifier.accounts import AccountCondition, AccountStatus, SendingAccount
from notifier.calling import Caller
from notifier.clock import Clock, system_clock
from notifier.consumer import OutboundConsumer
from notifier.dispatcher import AccountDispatcher
from notifier.domain.rates import Limited, Limits
from notifier.leasing import LeasedLanes
from notifier.operating import Operations
from notifier.reporting import Reporter
from notifier.store.port import DeliveryStore
from notifier.store.sqlite import SqliteDeliveryStore
from notifier.worker import LaneWorker

if TYPE_CHECKING:
    from notifier.store.mongo import MongoDeliveryStore

__all__ = ["ConfiguredAccount", "Notifier", "Surroundings", "check_account", "migrate", "open_store", "sender_channels", "sending_accounts"]

AnySenderChannel = SenderChannel[Any]


@dataclass(frozen=True, slots=True)
class ConfiguredAccount:
    """An account that can send, with its channel."""

    channel: AnySenderChannel
    settings: ChannelAccount


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process gives the notifier."""

    bus: Bus
    blobs: BlobReader
    store: DeliveryStore
    leases: Leases
    metrics: Metrics
    clock: Clock = field(default_factory=system_clock)


class Notifier:
    """Sends for its accounts until cancelled."""

    def __init__(self, accounts: Sequence[ConfiguredAccount], around: Surroundings) -> None:
        self._around = around
        self._operations = Operations(around.metrics, around.clock.now)
        lanes = LeasedLanes(around.leases)
        self._dispatchers = {one.settings.id: self._dispatcher(one, lanes) for one in accounts}
        self._consumer = OutboundConsumer(around.store, tuple(sender_channels()), self._wake, around.clock.now)
        self._unknown: set[str] = set()

    async def run(self) -> None:
        """Consume and send. A cancel lets calls under way end, as a call that is cut has an unknown outcome."""
        await self._tell_left_behind()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._around.bus.consume(self._consumer.subscription()), name="notifier consumer")
            for account_id, dispatcher in self._dispatchers.items():
                group.create_task(dispatcher.run(), name=f"notifier {account_id}")

    def statuses(self) -> tuple[AccountStatus, ...]:
        """How sending does, by account."""
        return tuple(one.account.status for one in self._dispatchers.values())

    def problems(self) -> Mapping[str, str]:
        """Every account that does not send, for `/readyz`: which, and why."""
        bad = (status for status in self.statuses() if status.condition is not AccountCondition.READY)
        return {f"{status.account_id}/sending": status.reason or status.condition.value for status in bad}

    def _dispatcher(self, configured: ConfiguredAccount, lanes: LeasedLanes) -> AccountDispatcher:
        around, watcher = self._around, self._operations
        account = _sending_account(configured, around.blobs)
        caller = Caller(account, around.store, around.clock, watcher)
        reporter = Reporter(around.store, around.bus.publish)
        worker = LaneWorker(account, around.store, lanes, caller, reporter, around.clock)
        return AccountDispatcher(account, around.store, worker, around.clock, watcher)

    def _wake(self, account_ids: Collection[str]) -> None:
        for account_id in account_ids:
            dispatcher = self._dispatchers.get(account_id)
            if dispatcher is not None:
                dispatcher.wake()
            else:
                self._tell_unknown(account_id)

    async def _tell_left_behind(self) -> None:
        """Say for which accounts messages wait that the configuration no longer has."""
        with contextlib.suppress(TransientError):  # the consumer meets the same store and waits for it
            for account_id, totals in (await self._around.store.totals()).items():
                if totals.in_flight and account_id not in self._dispatchers:
                    self._tell_unknown(account_id)

    def _tell_unknown(self, account_id: str) -> None:
        if account_id not in self._unknown:
            self._unknown.add(account_id)
            self._operations.not_configured(account_id)


def sender_channels() -> Mapping[str, AnySenderChannel]:
    """Every channel that has a sender here; raises ConfigurationError for a broken package."""
    return discover(SenderChannel, package="notifier.senders", group=SENDER_GROUP)


def sending_accounts(configuration: Configuration, environment: Mapping[str, str]) -> tuple[ConfiguredAccount, ...]:
    """The configured accounts of channels that have a sender. Raises ConfigurationError with file and line."""
    channels = sender_channels()
    entries = [entry for entry in configuration.accounts if entry.channel in channels]
    return tuple(
        ConfiguredAccount(channels[entry.channel], validate_account(entry, channels[entry.channel].account_model, environment))
        for entry in entries
    )


async def check_account(account: ConfiguredAccount, blobs: BlobReader) -> AccountStatus:
    """Log in without sending anything; for `threadline check`."""
    sender = account.channel.build(account.settings, SenderEnvironment(blobs))
    try:
        await sender.check()
    except DeliveryError as error:
        refused = isinstance(error, AuthError)
        return AccountStatus(account.settings.id, AccountCondition.AUTH_FAILED if refused else AccountCondition.RESTING, error.reason)
    finally:
        await sender.close()
    return AccountStatus(account.settings.id, AccountCondition.READY)


def open_store(database: OpenDatabase) -> "SqliteDeliveryStore | MongoDeliveryStore":
    """The delivery store of the database; also the read port of `threadline audit` (`totals`)."""
    if isinstance(database, SqliteDatabase):
        return SqliteDeliveryStore(database)
    from notifier.store.mongo import MongoDeliveryStore

    return MongoDeliveryStore(database)


async def migrate(database: OpenDatabase) -> None:
    """Create the notifier's tables and indexes where they are missing."""
    await open_store(database).migrate()


def _sending_account(configured: ConfiguredAccount, blobs: BlobReader) -> SendingAccount:
    settings, channel = configured.settings, configured.channel
    return SendingAccount(
        account_id=settings.id,
        channel=channel.name,
        brand=settings.brand,
        sender=channel.build(settings, SenderEnvironment(blobs)),
        policy=channel.unknown_outcome,
        limits=settings.limits if isinstance(settings, Limited) else Limits(),
    )
