"""Every service as processes of its own, several of each, seen as one installation whose API is whichever router runs.

Not here: what one such process is (`alone`).
"""

import itertools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

import httpx
from threadline_events.timeline import Conversation, Entry

from threadline_cli.testing.alone import RouterAlone, ServiceAlone, Site
from threadline_cli.testing.deployment import seen
from threadline_cli.testing.own_process import OwnProcess

__all__ = ["Fleet"]

T = TypeVar("T")


class Fleet:
    """So many processes of each service on one site. As a context manager they are started, and killed at the end.

    The first of each service may have settings of its own, `of_first`: another way to the servers, which a test can cut.
    """

    def __init__(self, site: Site, *, each: int = 2, of_first: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.data = site.folder
        self.configuration = site.configuration
        self.env: Mapping[str, str] = site.env()
        self.bus_url = site.bus
        self.routers = [RouterAlone(site, f"router-{number}") for number in range(1, each + 1)]
        self.others = [
            ServiceAlone(site, package, f"{package}-{n}") for package in ("ingest_email", "notifier") for n in range(1, each + 1)
        ]
        for process in self.firsts:
            process.env |= dict(of_first or {})
        self._asked = itertools.count()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.kill)
            made = self.site.migrate("router")
            if made.returncode:
                raise RuntimeError(f"migrate ended with {made.returncode}: {made.stderr[-2000:]}")
            for process in self.processes:
                process.start(wait=False)
            for process in self.processes:
                process.wait_until_up()
            stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        for router in self.routers:
            router.api.close()

    @property
    def processes(self) -> list[OwnProcess]:
        """Every process, running or not."""
        return [*self.routers, *self.others]

    @property
    def firsts(self) -> list[OwnProcess]:
        """The first of each service."""
        return [process for process in self.processes if process.log.stem.endswith("-1")]

    def of(self, package: str) -> list[OwnProcess]:
        """The processes of one service."""
        return [*self.routers] if package == "router" else [each for each in self.others if each.package == package]

    @property
    def running(self) -> bool:
        """Whether every process runs."""
        return all(process.running for process in self.processes)

    @property
    def api(self) -> httpx.Client:
        """A client of a router that runs, else of the first."""
        return self._router().api

    def kill(self) -> None:
        """`kill -9` all of them."""
        for process in self.processes:
            process.kill()

    def start_what_is_dead(self) -> None:
        """Start again whatever does not run, and return when all are ready."""
        dead = [process for process in self.processes if not process.running]
        for process in dead:
            process.start(wait=False)
        for process in dead:
            process.wait_until_up()

    def said(self) -> str:
        """The end of what each wrote so far."""
        return "\n".join(f"--- {process.log.name}\n{process.said()[-1500:]}" for process in self.processes)

    def wait_until_up(self) -> None:
        """Wait until a router's API answers."""
        self._router().wait_until_up()

    def until(self, what: str, look: Callable[[], T | None], within: float = 20.0) -> T:
        """Look again and again until there is an answer. Raises TimeoutError with the end of each log."""
        return seen(what, look, within, self.said)

    def conversations(self, **query: str) -> list[Conversation]:
        """The list of conversations."""
        return self._router().conversations(**query)

    def timeline(self, conversation_id: str) -> list[Entry]:
        """A conversation's entries."""
        return self._router().timeline(conversation_id)

    def _router(self) -> RouterAlone:
        """One router that runs after the other, as a load balancer would choose."""
        there = [router for router in self.routers if router.running] or self.routers
        return there[next(self._asked) % len(there)]
