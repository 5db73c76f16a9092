"""What commands print: people read tables on a terminal, programs read JSON Lines; errors and progress go to standard error."""

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

__all__ = ["JsonObject", "notes", "print_json_line", "screen", "table"]

JsonObject = Mapping[str, object]


def screen() -> Console:
    """Standard output for people; plain text when it is not a terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def notes() -> Console:
    """Standard error, for what is not the answer."""
    return Console(stderr=True, highlight=False)


def print_json_line(value: JsonObject) -> None:
    """One object on one line of standard output, times and other strings as they are."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A calm table; `right` names the columns of numbers."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made
