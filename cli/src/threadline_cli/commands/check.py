"""`threadline check`: does everything work that the configuration names? With `--derive` it derives all summaries again instead."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry
from rich.text import Text
from router.app import Surroundings, build_router, migrate
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_blobs
from threadline_runtime.settings import Settings

from threadline_cli.accounts_file import note_missing_accounts
from threadline_cli.checking import Finding, check_everything
from threadline_cli.failures import ANSWER_IS_NO
from threadline_cli.foundations import signing_keys
from threadline_cli.options import DEFAULT_CONFIGURATION, AccountOption, ConfigOption, DataOption, JsonOption, example
from threadline_cli.output import notes, print_json_line, print_table, say, table
from threadline_cli.stores import folder_settings, opened_bus, opened_database

__all__ = ["register"]

_DATA = Path("data")


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog=example("threadline check", "threadline check --account support-mail", "threadline check --derive"))(check)


def check(
    account: AccountOption = None,
    derive: Annotated[bool, typer.Option("--derive", help="Derive all summaries again from what they are made of.")] = False,
    config: ConfigOption = DEFAULT_CONFIGURATION,
    data: DataOption = _DATA,
    as_json: JsonOption = False,
) -> None:
    """Really connect to bus, database, blobs and each account; status 1 when something does not work."""
    settings = folder_settings(data)
    if derive:
        if account is not None:
            raise typer.BadParameter("all summaries are derived together: leave --account away", param_hint="--derive")
        _print_derived(asyncio.run(_derive(data, settings, config)), as_json=as_json)
        return
    configuration = load_configuration(config)
    note_missing_accounts(configuration, config)
    with notes().status("connecting"):
        findings = asyncio.run(check_everything(data, settings, configuration, os.environ, only=account))
    _print(findings, as_json=as_json)
    if any(finding.problem for finding in findings):
        raise typer.Exit(ANSWER_IS_NO)


async def _derive(data: Path, settings: Settings, config: Path) -> int:
    async with opened_bus(settings) as bus, opened_database(settings) as database:
        await migrate(database)
        around = Surroundings(
            bus=bus,
            database=database,
            blobs=open_blobs(settings.blobs.url),
            configuration=load_configuration(config),
            signing=signing_keys(data, settings),
            metrics=Metrics(CollectorRegistry()),
            randomness=os.urandom,
        )
        return await build_router(around).derive_all()


def _print_derived(count: int, *, as_json: bool) -> None:
    if as_json:
        print_json_line({"derived": count})
    else:
        say(f"derived {count:,} summaries")


def _print(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        for each in findings:
            print_json_line({"check": each.name, "ok": each.problem is None, "detail": each.detail, "problem": each.problem})
        return
    well, ill = Text("ok", style="green"), Text("no", style="red")
    rows = [(each.name, ill if each.problem else well, each.detail, each.problem or "") for each in findings]
    print_table(table(["what", "", "seen", "what to do"], rows, whole=["what"]))
