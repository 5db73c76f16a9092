"""The `threadline` command: puts its verbs together and turns every failure into one line. What a verb does stands in `commands/`."""

import importlib
import os
import sys
import traceback
from collections.abc import Iterable

import typer
from threadline_runtime.failpoints import arm_failpoints

from threadline_cli.failures import describe_failure
from threadline_cli.options import GlobalConfigOption, VersionOption
from threadline_cli.output import notes
from threadline_cli.version import VERSION

__all__ = ["VERBS", "create_app", "run"]

VERBS = {
    "up": "up",
    "demo": "demo",
    "check": "check",
    "parse": "parse",
    "conversations": "conversations",
    "timeline": "conversations",
    "reply": "conversations",
    "note": "conversations",
    "explain": "conversations",
    "audit": "audit",
    "dlq": "dlq",
    "keys": "keys",
}
"""Each verb and the module of `commands/` that holds it, in the order of the help."""


def create_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The command with these verbs; importing them connects to nothing."""
    app = typer.Typer(
        name="threadline",
        help="Every customer message on one timeline, and the answers back out.",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def threadline(context: typer.Context, config: GlobalConfigOption = None, version: VersionOption = False) -> None:
        if version:
            typer.echo(f"threadline {VERSION}")
            raise typer.Exit
        if config is not None:
            given = {"config": str(config)}
            context.default_map = {verb: given | {"create": given} for verb in VERBS}  # `keys create` is one level deeper
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    for module in dict.fromkeys(VERBS[verb] for verb in verbs):
        importlib.import_module(f"threadline_cli.commands.{module}").register(app)
    return app


def _needed(arguments: list[str]) -> Iterable[str]:
    """Only the verb that is asked for is imported: a question to the API need not wait for the mail parser."""
    return arguments[:1] if arguments and arguments[0] in VERBS else VERBS


def run() -> None:
    """The entry point; ends the process with 0 done, 1 the answer is no, 2 wrong use or configuration."""
    arguments = sys.argv[1:]
    try:
        arm_failpoints(os.environ)
        status = create_app(_needed(arguments))(args=arguments, prog_name="threadline", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("THREADLINE_LOG__LEVEL", "").lower() == "debug":
            traceback.print_exception(error)
        failure = describe_failure(error)
        notes().print(f"threadline: {failure.line}", style="red", soft_wrap=True, markup=False)
        status = failure.status
    sys.exit(status if isinstance(status, int) else 0)
