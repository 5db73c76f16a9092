"""Whether a process can work (readiness) and whether it should be restarted (liveness): named checks with reasons.

Readiness asks what the process needs; liveness only the process itself, never "the bus is up". Not here: HTTP (`ops`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from threadline_runtime.errors import ThreadlineError

__all__ = ["Health", "LoopBeat"]

_CHECK_SECONDS = 3.0
_TELL_SECONDS = 5.0
_log = structlog.stdlib.get_logger("threadline.health")


class Health:
    """The checks of a process. A check answers None, or one line that says what is wrong."""

    def __init__(self) -> None:
        self._ready: dict[str, Callable[[], Awaitable[str | None]]] = {}
        self._alive: dict[str, Callable[[], str | None]] = {}
        self._probed: dict[str, str | None] = {}
        self._draining = False

    def add_readiness(self, name: str, check: Callable[[], Awaitable[str | None]]) -> None:
        """Ask this for `/readyz`."""
        self._ready[name] = check

    def add_probe(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        """Ask a port's `probe`, which raises when the thing cannot be used."""

        async def check() -> str | None:
            await probe()
            return None

        self._ready[name] = check
        self._probed[name] = None

    def add_liveness(self, name: str, check: Callable[[], str | None]) -> None:
        """Ask this for `/livez`."""
        self._alive[name] = check

    def drain(self) -> None:
        """From now on not ready: the process is about to stop."""
        self._draining = True

    async def readiness(self) -> Mapping[str, str | None]:
        """What is wrong, by name; all None when the process is ready."""
        checks = dict(self._ready)  # others may be added while we ask
        answers = await asyncio.gather(*map(_asked, checks.values()))
        result: dict[str, str | None] = dict(zip(checks, answers, strict=True))
        if self._draining:
            result["process"] = "draining"
        return result

    async def tell(self) -> None:
        """Log which of the things we probe have gone, why, and which have come back, until cancelled; nothing while nothing changes."""
        while True:
            for name, before in list(self._probed.items()):  # others may be added while we ask
                now = await _asked(self._ready[name])
                if now is not None and now != before:
                    _log.warning("not ready", check=name, reason=now)
                if now is None and before is not None:
                    _log.info("ready again", check=name)
                self._probed[name] = now
            await asyncio.sleep(_TELL_SECONDS)

    def liveness(self) -> Mapping[str, str | None]:
        """What is wrong, by name; all None when the process is alive."""
        return {name: check() for name, check in self._alive.items()}


async def _asked(check: Callable[[], Awaitable[str | None]]) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS:.0f} s"
    except ThreadlineError as error:
        return str(error)
    except Exception as error:
        return type(error).__name__


class LoopBeat:
    """Notices when the event loop was blocked for long."""

    def __init__(self, monotonic: Callable[[], float], *, every: float = 0.5, longest: float = 10.0) -> None:
        self._monotonic = monotonic
        self._every = every
        self._longest = longest
        self._last: float | None = None

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(self._every)

    def beat(self) -> None:
        """Beat once."""
        self._last = self._monotonic()

    def liveness(self) -> str | None:
        """The check for `/livez`."""
        if self._last is None:
            return None
        age = self._monotonic() - self._last
        return f"the event loop stood still for {age:.0f} s" if age > self._longest else None
