"""What the load and the check of a fault test need of Threadline, however many processes it is.

`standalone.Standalone` is one, `fleet.Fleet` is every service by itself.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import httpx
from threadline_events.timeline import Conversation, Entry

__all__ = ["Deployment", "seen"]

T = TypeVar("T")
_LOOK_AGAIN_SECONDS = 0.02


def seen(
    what: str, look: Callable[[], T | None], within: float, said: Callable[[], str], ended: Callable[[], str | None] = lambda: None
) -> T:
    """Look again and again until there is an answer. Raises TimeoutError with what was `said`, at once where it has `ended`."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if (end := ended()) is not None:
            raise TimeoutError(f"waiting for {what}, but it ended with {end}:\n{said()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {within:.0f} s for {what}:\n{said()}")
        time.sleep(_LOOK_AGAIN_SECONDS)


class Deployment(Protocol):
    """One installation: its API, and where its bus, database and configuration lie."""

    @property
    def api(self) -> httpx.Client:
        """A client of an API that answers now, as far as is known."""

    @property
    def env(self) -> Mapping[str, str]:
        """The settings that a verb beside it needs."""

    @property
    def data(self) -> Path:
        """The data folder."""

    @property
    def configuration(self) -> Path:
        """The file of brands and accounts."""

    @property
    def bus_url(self) -> str:
        """The bus it is on."""

    @property
    def running(self) -> bool:
        """Whether all of it runs."""

    def said(self) -> str:
        """What it wrote so far."""

    def wait_until_up(self) -> None:
        """Wait until its API answers."""

    def until(self, what: str, look: Callable[[], T | None], within: float = 20.0) -> T:
        """Look again and again until there is an answer. Raises TimeoutError with the end of the log."""

    def conversations(self, **query: str) -> list[Conversation]:
        """The list of conversations."""

    def timeline(self, conversation_id: str) -> list[Entry]:
        """A conversation's entries."""
