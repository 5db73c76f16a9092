"""`threadline audit`: conservation per account. The counting stands in `router.audit`; this only prints and answers yes or no."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text
from router.audit import AccountAudit, Audit, AuditReport
from router.consuming import GROUPS
from router.stores import migrate, stores_of
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.settings import Settings

from threadline_cli.failures import ANSWER_IS_NO
from threadline_cli.moments import read_time
from threadline_cli.options import DEFAULT_CONFIGURATION, AccountOption, ConfigOption, DataOption, JsonOption, SinceOption, example
from threadline_cli.output import JsonObject, notes, print_json_line, print_table, say, table
from threadline_cli.stores import folder_settings, opened_bus, opened_database

__all__ = ["register"]

_DATA = Path("data")


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog=example("threadline audit", "threadline audit --account support-mail --since 2026-11-01"))(audit)


def audit(
    account: AccountOption = None,
    since: SinceOption = None,
    config: ConfigOption = DEFAULT_CONFIGURATION,
    data: DataOption = _DATA,
    as_json: JsonOption = False,
) -> None:
    """Join what was taken in with what became of it; status 1 when anything is missing. Works beside a running `up`."""
    start = read_time(since) if since is not None else None
    if account is not None and config.exists():
        load_configuration(config).account(account)
    report = asyncio.run(_audit(folder_settings(data), account, start))
    if as_json:
        for each in report.accounts:
            print_json_line(_as_json(each))
    else:
        _print(report)
    if report.missing:
        notes().print(f"{report.missing} missing: see docs/operations.md, “audit”", style="red")
        raise typer.Exit(ANSWER_IS_NO)


async def _audit(settings: Settings, account: str | None, since: datetime | None) -> AuditReport:
    async with opened_bus(settings) as bus, opened_database(settings) as database:
        await migrate(database)
        stores = stores_of(database)
        books = Audit(stores.journal, stores.timeline, bus, GROUPS)
        return await books.run(datetime.now(UTC), account_id=account, since=since)


def _as_json(account: AccountAudit) -> JsonObject:
    return {
        "account_id": account.account_id,
        "intakes": account.intakes,
        "events": account.events,
        "outcomes": dict(sorted(account.outcomes.items())),
        "pending": account.pending,
        "missing": account.missing,
        "unjournalled": account.unjournalled,
        "lost": account.lost,
        "outgoing": asdict(account.sent),
    }


def _print(report: AuditReport) -> None:
    if not report.accounts:
        notes().print("nothing was taken in or sent in that time")
        return
    outcomes = sorted({name for each in report.accounts for name in each.outcomes})
    inbound = ["account", "intakes", "events", *outcomes, "pending", "missing", "unjournalled"]
    rows = [_inbound_row(each, outcomes) for each in report.accounts]
    print_table(table(inbound, rows, right=inbound[1:], whole=inbound[:1]))
    outgoing = ["account", "accepted", "sent", "failed", "uncertain", "in flight"]
    sent = [(each.account_id, *(f"{number:,}" for number in asdict(each.sent).values())) for each in report.accounts if each.sent.accepted]
    if sent:
        say("")
        print_table(table(outgoing, sent, right=outgoing[1:], whole=outgoing[:1]))


def _inbound_row(account: AccountAudit, outcomes: Iterable[str]) -> tuple[str | Text, ...]:
    counts = (account.intakes, account.events, *(account.outcomes[name] for name in outcomes))
    bad = (_alarming(account.missing), _alarming(account.unjournalled))
    return (account.account_id, *(f"{count:,}" for count in counts), f"{account.pending:,}", *bad)


def _alarming(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "")
