"""`threadline up`: all services in one process. What runs there stands in `threadline_cli.up`."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.logging import configure_logging
from threadline_runtime.settings import LogSettings, Settings

from threadline_cli.accounts_file import note_missing_accounts
from threadline_cli.options import DEFAULT_CONFIGURATION, ConfigOption, example
from threadline_cli.output import notes, print_table, say, table
from threadline_cli.stores import folder_settings
from threadline_cli.version import VERSION

__all__ = ["register"]

_DATA = Path("data")
_SETTLE_SECONDS = 5.0
PortOption = Annotated[int | None, typer.Option(min=0, max=65535, show_default="8080", help="Port of the page and the API.")]
OpsPortOption = Annotated[int | None, typer.Option(min=0, max=65535, show_default="9464", help="Port of /livez, /readyz and /metrics.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(epilog=example("threadline up --config threadline.yaml --data ./data"))(up)


def up(
    config: ConfigOption = DEFAULT_CONFIGURATION,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is kept.")] = _DATA,
    host: Annotated[str | None, typer.Option(show_default="127.0.0.1", help="Where the page and the API listen.")] = None,
    port: PortOption = None,
    ops_port: OpsPortOption = None,
) -> None:
    """Run all of Threadline in one process, on SQLite in DIR. SIGTERM or Ctrl-C drains and ends it."""
    settings = listening(folder_settings(data), host=host, port=port, ops_port=ops_port)
    configure_logging(log_settings(settings), service="threadline", version=VERSION)
    asyncio.run(_run(data, settings, config))


def listening(settings: Settings, *, host: str | None, port: int | None, ops_port: int | None) -> Settings:
    """The settings with what the command line chose instead."""
    http = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    ops = {"port": ops_port} if ops_port is not None else {}
    return settings.model_copy(update={"http": settings.http.model_copy(update=http), "ops": settings.ops.model_copy(update=ops)})


def log_settings(settings: Settings) -> LogSettings:
    """What was set; a terminal gets lines for people where nothing was."""
    if "format" in settings.log.model_fields_set or not notes().is_terminal:
        return settings.log
    return settings.log.model_copy(update={"format": "console"})


def _print_opened(url: str, ops_url: str, first_key: str | None) -> None:
    # The page takes the key out of its own address; what stands behind # never goes over the network.
    page = url if first_key is None else f"{url}/#key={first_key}"
    say(f"Threadline {VERSION} runs; Ctrl-C ends it")
    for name, value in (("page", page), ("API", f"{url}/v1/docs"), ("state", f"{ops_url}/readyz")):
        say(f"{name:<9}{value}")
    if first_key is not None:
        say(f"API key  {first_key}  (the first one, shown only now)", style="bold")


async def _run(data: Path, settings: Settings, config: Path) -> None:
    from threadline_cli.up import Stopped, running

    configuration = load_configuration(config)
    with contextlib.suppress(Stopped):
        async with running(data, settings, configuration) as threadline:
            _print_opened(threadline.url, threadline.ops_url, threadline.first_key)
            note_missing_accounts(configuration, config)
            await threadline.settled(within=_SETTLE_SECONDS)
            rows = [(each.account_id, each.channel, each.brand, each.state) for each in threadline.accounts()]
            if rows:
                print_table(table(["account", "channel", "brand", "state"], rows, whole=["account"]))
            await threadline.ended()
