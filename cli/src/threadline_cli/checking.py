"""What `threadline check` finds: really connects to bus, database, blobs and each account, and says what to do. Prints nothing."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ingest_email.app as ingest
import notifier.app as sending
from ingest_email.settings import MailAccount
from notifier.accounts import AccountCondition
from notifier.app import ConfiguredAccount
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.blobs.port import BlobStore
from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.errors import ThreadlineError
from threadline_runtime.opening import open_blobs, open_bus, open_database, probe_bus
from threadline_runtime.secrets import is_reference, shown_url
from threadline_runtime.settings import Settings

from threadline_cli.composition import refuse_unknown_channels
from threadline_cli.foundations import signing_keys
from threadline_cli.version import VERSION

__all__ = ["Finding", "check_everything"]

_ACCOUNT_SECONDS = 60.0
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `problem` is None when it is well, else one line that says what to do; `detail` is what was seen."""

    name: str
    detail: str
    problem: str | None = None


async def check_everything(
    data: Path, settings: Settings, configuration: Configuration, environment: Mapping[str, str], *, only: str | None = None
) -> tuple[Finding, ...]:
    """Try everything (or only one account). Raises ConfigurationError for a configuration that cannot be read."""
    if only is not None:
        configuration.account(only)
    refuse_unknown_channels(configuration)
    inbound = [each for each in ingest.mail_accounts(configuration, environment) if only in {None, each.id}]
    outbound = [each for each in sending.sending_accounts(configuration, environment) if only in {None, each.settings.id}]
    stores = () if only is not None else await _stores(data, settings)
    return (*stores, *await _accounts(inbound, outbound))


async def _stores(data: Path, settings: Settings) -> tuple[Finding, ...]:
    async def bus() -> None:
        opened = await open_bus(settings.bus.address, version=VERSION, security=settings.bus.security)
        try:
            await probe_bus(opened)
        finally:
            await opened.close()

    async def database() -> None:
        opened = open_database(settings.database.address)
        try:
            await opened.probe()
        finally:
            await opened.close()

    async def blobs() -> None:
        await open_blobs(settings.blobs.url).probe()

    async def keys() -> None:
        signing_keys(data, settings)

    signing = settings.signing_keys or ""
    return (
        await _tried("bus", shown_url(settings.bus.address or ""), bus),
        await _tried("database", shown_url(settings.database.address or ""), database),
        await _tried("blobs", settings.blobs.url or "", blobs),
        await _tried("signing keys", signing if is_reference(signing) else "", keys),
    )


async def _tried(name: str, shown: str, attempt: Callable[[], Awaitable[None]]) -> Finding:
    try:
        await attempt()
    except ThreadlineError as error:
        return Finding(name, shown, str(error))
    except OSError as error:
        return Finding(name, shown, f"{error.strerror}: give the process rights and room there, or use another --data")
    return Finding(name, shown)


async def _accounts(inbound: Iterable[MailAccount], outbound: Iterable[ConfiguredAccount]) -> tuple[Finding, ...]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def gated(name: str, work: Awaitable[tuple[Finding, ...]]) -> tuple[Finding, ...]:
        async with gate:
            try:
                async with asyncio.timeout(_ACCOUNT_SECONDS):
                    return await work
            except TimeoutError:
                return (Finding(name, "", f"no answer within {_ACCOUNT_SECONDS:.0f} s: look at host, port and firewall"),)

    with tempfile.TemporaryDirectory(prefix="threadline-check-") as folder:
        spool, blobs = Path(folder) / "spool", FileBlobs.open(Path(folder) / "blobs")
        found = await asyncio.gather(
            *(gated(each.id, _receives(each, spool / each.id)) for each in inbound),
            *(gated(each.settings.id, _sends(each, blobs)) for each in outbound),
        )
    return tuple(finding for findings in found for finding in findings)


async def _receives(account: MailAccount, spool: Path) -> tuple[Finding, ...]:
    return tuple(
        Finding(f"{account.id} receives", f"{check.source.stream}: {_count(check.mails)}", check.problem)
        for check in await ingest.check_account(account, spool)
    )


def _count(mails: int | None) -> str:
    return "" if mails is None else f"{mails:,} mails"


async def _sends(account: ConfiguredAccount, blobs: BlobStore) -> tuple[Finding, ...]:
    status = await sending.check_account(account, blobs)
    problem = None if status.condition is AccountCondition.READY else status.reason or status.condition.value
    return (Finding(f"{account.settings.id} sends", account.channel.name, problem),)
