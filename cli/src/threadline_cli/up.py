"""All of Threadline in this process: one function that `up`, `demo` and tests share.

Not here: what the services are (`composition`), and what is printed about them (`commands.up`).
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from router.api.keys import Scope, digest_of, ensure_first_key, new_key, refuse_weak_key
from threadline_connectors.accounts import Condition
from threadline_runtime.configuration.configuration import Configuration
from threadline_runtime.errors import ConfigurationError, ThreadlineError, TransientError
from threadline_runtime.garbage import look_rarely
from threadline_runtime.http import HttpServer
from threadline_runtime.settings import Settings
from threadline_runtime.starting import database_reached

from threadline_cli.composition import Doors, Services, compose, prepare
from threadline_cli.foundations import opened

__all__ = ["AccountView", "Running", "Stopped", "running"]

_LOOK_AGAIN_SECONDS = 0.1
_STARTING = "starting"


class Stopped(ThreadlineError):  # noqa: N818 - not an error: somebody asked
    """Asked to end while it waited for a server; nothing had begun."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account and how it does now."""

    account_id: str
    channel: str
    brand: str
    state: str


class Running:
    """What runs. `first_key` is the secret of the first API key where it was made just now, else None."""

    def __init__(
        self, services: Services, configuration: Configuration, url: str, ops_url: str, first_key: str | None, life: "asyncio.Task[None]"
    ) -> None:
        self.services = services
        self.url = url
        self.ops_url = ops_url
        self.first_key = first_key
        self._configuration = configuration
        self._life = life

    def accounts(self) -> tuple[AccountView, ...]:
        """Every account and its state, in the order of the file."""
        states = self._states()
        accounts = self._configuration.accounts
        return tuple(AccountView(each.id, each.channel, each.brand, "; ".join(states[each.id]) or _STARTING) for each in accounts)

    async def settled(self, within: float) -> None:
        """Wait until every account has said how it does, at most so many seconds."""
        for _ in range(round(within / _LOOK_AGAIN_SECONDS)):
            if self._life.done() or not any(_is_starting(each.state) for each in self.accounts()):
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def make_key(self, name: str) -> str:
        """A further API key that may answer for every brand; its secret."""
        key, secret = new_key(name, [Scope.REPLY], None, randomness=os.urandom, now=datetime.now(UTC))
        await self.services.router.keys.add(key, digest_of(secret))
        return secret

    async def ended(self) -> None:
        """Wait until a signal or `stop`. Raises what ended it otherwise."""
        await asyncio.shield(self._life)

    async def unless_it_ends(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do `work` beside it; False where Threadline was asked to end before. Raises what either of them died of."""
        task, stopping = asyncio.create_task(work), asyncio.create_task(self.services.stopping.wait())
        await asyncio.wait([task, stopping, self._life], return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not self.services.stopping.is_set():
            stopping.cancel()
            await task
            return True
        task.cancel()
        await asyncio.wait([task])
        await self._life
        return False

    def _states(self) -> Mapping[str, Sequence[str]]:
        states: dict[str, list[str]] = defaultdict(list)
        for state in self.services.ingest_email.board.states():
            reason = f" ({state.reason})" if state.reason else ""
            states[state.source.account_id].append(f"{state.source.stream} {state.condition.value}{reason}")
        for status in self.services.notifier.statuses():
            if status.reason:
                states[status.account_id].append(f"sending {status.condition.value} ({status.reason})")
        return states


def _is_starting(state: str) -> bool:
    return state == _STARTING or state.endswith((Condition.WAITING.value, Condition.CONNECTING.value))


@asynccontextmanager
async def running(data: Path, settings: Settings, configuration: Configuration) -> AsyncIterator[Running]:
    """Run everything while the context lasts, then drain. A bus or database on a server is waited for, as long as it takes.

    Raises ConfigurationError where it cannot start, Stopped where it is asked to end while it waits.
    """
    look_rarely()
    async with AsyncExitStack() as stack:
        try:
            started = await _start(stack, data, settings, configuration)
        except TransientError as error:
            # Later it would wait for room or for the disk; at the start somebody stands before it and can help.
            raise ConfigurationError(str(error)) from error
        yield started


async def _start(stack: AsyncExitStack, data: Path, settings: Settings, configuration: Configuration) -> Running:
    folder = await stack.enter_async_context(opened(data, settings, configuration))
    doors = _claim(settings, stack)
    wanted = settings.api.chosen_key
    refuse_weak_key(wanted)
    random = os.urandom(32)
    services = compose(folder, doors)
    began: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def begin() -> None:
        await prepare(folder.base, services, doors)
        # The database may have gone again while the bus was waited for.
        await database_reached(folder.base.database, make_first_key, folder.base.health)

    async def make_first_key() -> None:
        began.set_result(await ensure_first_key(services.router.keys, wanted, random=random, now=datetime.now(UTC)))

    life = asyncio.create_task(services.life.run(begin), name="threadline")
    stack.push_async_callback(_end, services, life)
    either: tuple[asyncio.Future[Any], ...] = (life, began)
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not began.done():
        await life
        raise Stopped("asked to end before it had started")
    url, ops_url = _url(settings.http.host, doors.public.port), _url(settings.ops.host, doors.ops.port)
    return Running(services, configuration, url, ops_url, began.result(), life)


def _claim(settings: Settings, stack: AsyncExitStack) -> Doors:
    public = HttpServer.claim(settings.http.host, settings.http.port)
    stack.callback(public.close)
    ops = HttpServer.claim(settings.ops.host, settings.ops.port, option="--ops-port")
    stack.callback(ops.close)
    return Doors(public, ops)


async def _end(services: Services, life: "asyncio.Task[None]") -> None:
    services.life.stop()
    # What it died of was raised where somebody waited for it; here only the end matters.
    await asyncio.gather(life, return_exceptions=True)


def _url(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in {"0.0.0.0", ""} else "[::1]" if host == "::" else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{shown}:{port}"
