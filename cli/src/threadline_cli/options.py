"""The options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DEFAULT_CONFIGURATION",
    "AccountOption",
    "ApiKeyOption",
    "ConfigOption",
    "DataOption",
    "GlobalConfigOption",
    "JsonOption",
    "SinceOption",
    "UrlOption",
    "VersionOption",
    "example",
]

DEFAULT_CONFIGURATION = Path("threadline.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="Accounts, brands and desks (YAML); else $THREADLINE_CONFIG."),
]
GlobalConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="THREADLINE_CONFIG", metavar="FILE", help="Accounts, brands and desks, for the verbs that read them."
    ),
]
VersionOption = Annotated[bool, typer.Option("--version", help="Say which release this is.")]
DataOption = Annotated[Path, typer.Option("--data", metavar="DIR", help="The data folder of `threadline up`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON Lines on standard output, nothing else.")]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="From this time on (RFC 3339, or a date).")]
UrlOption = Annotated[str, typer.Option("--url", envvar="THREADLINE_URL", metavar="URL", help="Where the API answers.")]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", envvar="THREADLINE_API_KEY", metavar="KEY", show_default=False, help="An API key (tl_...)."),
]


def example(*lines: str) -> str:
    """The examples below a command's help, one a line."""
    return "\n\n".join(["[dim]Example:[/dim]" if len(lines) == 1 else "[dim]Examples:[/dim]", *(f"  $ {line}" for line in lines)])
