"""What commands print: people read tables on a terminal, programs read JSON Lines; errors and progress go to standard error."""

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["JsonObject", "notes", "print_json_line", "print_table", "say", "screen", "table"]

_UNFOLDED = 1000
JsonObject = Mapping[str, object]


def screen() -> Console:
    """Standard output for people."""
    return Console(highlight=False)


def print_table(made: Table) -> None:
    """A table on standard output; where that is no terminal nothing is folded, so that `grep` and `cut` find whole words."""
    console = screen()
    width = None if console.is_terminal else _UNFOLDED
    Console(highlight=False, width=width).print(made)


def notes() -> Console:
    """Standard error, for what is not the answer."""
    return Console(stderr=True, highlight=False)


def print_json_line(value: JsonObject) -> None:
    """One object on one line of standard output, times and other strings as they are."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def say(line: str, *, style: str = "") -> None:
    """One line on standard output, taken literally and not folded."""
    screen().print(Text(line), style=style, soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """A calm table; `right` names the columns of numbers, `whole` those that are never folded. Strings are taken literally."""
    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made
