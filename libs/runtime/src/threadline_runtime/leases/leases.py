"""When a lease may be taken (design section 7): the observer judges by its own reads and its own monotonic clock only.

Not here: what is done under a lease. Its writes carry the token, so whoever was deposed without noticing cannot write.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from threadline_runtime.errors import TransientError
from threadline_runtime.failpoints import failpoint
from threadline_runtime.leases.port import Lease, LeaseStore, Sighting

__all__ = ["BEAT_SECONDS", "Leases"]

BEAT_SECONDS = 3.0
_BEATS_A_LOOK = 200
"""Ten minutes between two looks for processes that ended without a word."""
_LOOK_SECONDS = 4.0
_ANSWER_SECONDS = 2.0
_SILENT_SECONDS = 20.0
_SILENT_READS = 5
_log = structlog.stdlib.get_logger("threadline.leases")


@dataclass(frozen=True, slots=True)
class _Watched:
    """A holder seen with the same beat again and again: how often, since when, and when last."""

    sighting: Sighting
    reads: int
    since: float
    last: float


class Leases:
    """The leases that one process holds or waits for.

    `holder` names this run of the process and is never used again. With `sole=True` the lock file of `threadline up`
    proves that nobody else runs, and every lease is taken at once.
    """

    def __init__(self, store: LeaseStore, holder: str, monotonic: Callable[[], float], *, sole: bool = False) -> None:
        self._store = store
        self._holder = holder
        self._monotonic = monotonic
        self._sole = sole
        self._watched: dict[str, _Watched] = {}
        self._held: dict[str, Lease] = {}
        self._sought: dict[str, Lease] = {}
        self._beat = 0
        self._last_look: Mapping[str, int] = {}

    async def run(self) -> None:
        """Raise the beat until cancelled, then give up what is held; runs beside everything that holds leases."""
        try:
            for round_number in itertools.count():
                try:
                    await self.raise_beat()
                    if round_number % _BEATS_A_LOOK == 0:
                        await self.bury_dead()
                except TransientError as error:
                    _log.warning("beat not written", error_class=type(error).__name__)
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            await self._give_up_all()

    async def raise_beat(self) -> None:
        """Show once that this process is alive."""
        self._beat += 1
        await self._store.beat(self._holder, self._beat)

    async def bury_dead(self) -> None:
        """Remove the beats that have not moved since the last look, which is minutes ago. Whoever lives all the same just beats again."""
        seen = await self._store.beats()
        for holder, beat in seen.items():
            if holder != self._holder and (self._sole or self._last_look.get(holder) == beat):
                await self._store.silence(holder)
        self._last_look = seen

    async def hold(self, name: str) -> Lease:
        """Wait until the lease is ours."""
        while True:
            try:
                lease = await self.attempt(name)
            except TransientError as error:
                _log.warning("lease not read", lease=name, error_class=type(error).__name__)
                lease = None
            if lease is not None:
                return lease
            await asyncio.sleep(_LOOK_SECONDS)

    async def attempt(self, name: str) -> Lease | None:
        """Look once, and take the lease if it is free as far as this process has seen; None if not yet."""
        asked = self._monotonic()
        sighting = await self._store.look(name)
        if sighting.lease is not None and sighting.lease in {self._held.get(name), self._sought.get(name)}:
            self._held[name] = sighting.lease
            return sighting.lease
        if not self._is_free(name, sighting, asked, self._monotonic()):
            return None
        await self.raise_beat()  # before it is ours: nobody may see us silent
        # Should the answer get lost, the next attempt knows it by this.
        self._sought[name] = Lease(name, self._holder, 1 if sighting.lease is None else sighting.lease.token + 1)
        await failpoint("leases.before_take")
        lease = await self._store.take(name, sighting.lease, self._holder)
        await failpoint("leases.after_take")
        self._watched.pop(name, None)
        if lease is not None:
            # Else it stays sought: an attempt given up before may land late, and then the lease is ours all the same.
            self._sought.pop(name, None)
            self._held[name] = lease
        return lease

    async def is_held(self, lease: Lease) -> bool:
        """Whether the lease is still ours; a write under it must carry the token all the same."""
        return (await self._store.look(lease.name)).lease == lease

    async def release(self, lease: Lease) -> None:
        """Give up a lease; another may take it at once. Where the store does not answer it is still ours, and the next attempt has it."""
        await self._store.release(lease)
        self._held.pop(lease.name, None)
        self._sought.pop(lease.name, None)

    def _is_free(self, name: str, sighting: Sighting, asked: float, answered: float) -> bool:
        lease = sighting.lease
        if lease is None or lease.holder is None or self._sole:
            return True
        if answered - asked > _ANSWER_SECONDS:
            return False  # what it says may be old by now: it counts neither way
        before = self._watched.get(name)
        if before is None or before.sighting != sighting:
            self._watched[name] = _Watched(sighting, 1, asked, asked)
            return False
        if asked - before.last >= 1.0:  # a burst of reads proves no more than one
            before = _Watched(sighting, before.reads + 1, before.since, asked)
            self._watched[name] = before
        return before.reads >= _SILENT_READS and asked - before.since >= _SILENT_SECONDS

    async def _give_up_all(self) -> None:
        try:
            for lease in {**self._sought, **self._held}.values():
                await self.release(lease)
            await self._store.silence(self._holder)
        except TransientError as error:
            _log.warning("leases not given up", error_class=type(error).__name__)
