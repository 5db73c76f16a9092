"""How the demo looks on a terminal: where the page is, then one calm line for each thing that happens."""

from collections.abc import Callable
from datetime import datetime

from rich.cells import set_cell_size
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from threadline_cli.demo.cast import AGENT

__all__ = ["Display"]

_STYLES = {AGENT: "green", "Mail server": "red"}
_NAME_WIDTH = 14


class Display:
    """Prints to one console; `now` tells the time of each line."""

    def __init__(self, console: Console, now: Callable[[], datetime]) -> None:
        self._console = console
        self._now = now

    def opened(self, url: str, api_key: str) -> None:
        """Where to look, and with which key."""
        self._console.print(Rule("Threadline demo", style="cyan", align="left"))
        # The page takes the key out of its own address; what stands behind # never goes over the network.
        self._console.print(Text("page     ").append(f"{url}/#key={api_key}", style="bold underline"), soft_wrap=True)
        self._console.print(Text("API key  ").append(api_key, style="bold"), soft_wrap=True)
        self._console.print("try      open the page and answer Kenji or Elena: they answer back")
        self._console.print(Rule(style="cyan"))

    def happened(self, who: str, what: str) -> None:
        """One step of the story."""
        line = Text(f"{self._now():%H:%M:%S}  ", style="dim")
        line.append(set_cell_size(who, _NAME_WIDTH) + " ", style=_STYLES.get(who, "cyan"))
        line.append(what, style="default")
        self._console.print(line, soft_wrap=True)

    def told(self, seconds: float | None) -> None:
        """The script is at its end; what comes now is up to who watches."""
        until = "Ctrl-C ends the demo" if seconds is None else f"The demo ends in {seconds:.0f} s"
        self._console.print(Text(f"The story is told; the customers go on answering you. {until}.", style="dim"))
