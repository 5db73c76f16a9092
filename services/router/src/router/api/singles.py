"""Reads of one document each that many requests ask for at the same time, made one: a burst of readers costs one or two reads.

Such bursts come whenever a stream tells of a batch. Not here: what a key may see (`reading`), and caches; none would be right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from threadline_events.timeline import Conversation
from threadline_runtime.errors import TransientError

from router.api.keys import ApiKey, KeyStore
from router.domain.documents import EntryDocument
from router.store.port import TimelineStore

__all__ = ["Gathered", "Singles"]

V = TypeVar("V")
_PATIENCE_SECONDS = 0.1


class Gathered(Generic[V]):
    """Reads by id. Those that are asked for in one turn of the loop are one read; while one is under way, all that are asked for meanwhile.

    A read that hangs is waited for a tenth of a second at most. What is answered was read after it was asked for, as by a read of one's
    own; the first who asks reads for all. For one event loop.
    """

    def __init__(self, read: Callable[[Iterable[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._read = read
        self._under_way: asyncio.Future[None] | None = None
        self._next: list[_Waiting[V]] | None = None

    async def one(self, id_: str) -> V | None:
        """The document with this id, if there is one; raises what its read raised."""
        if self._next is not None:
            found = await self._answered(self._next, id_)
        else:
            found = await self._lead(id_)
        return (found if found is not None else await self._read([id_])).get(id_)

    async def _answered(self, others: "list[_Waiting[V]]", id_: str) -> Mapping[str, V] | None:
        waiting: _Waiting[V] = _Waiting(id_, asyncio.get_running_loop().create_future())
        others.append(waiting)
        return await waiting.found

    async def _lead(self, id_: str) -> Mapping[str, V] | None:
        """What was read for all; None where each must read for himself, as one document that cannot be read must not answer for others."""
        others: list[_Waiting[V]] = []
        found: Mapping[str, V] | None = None
        failed: TransientError | None = None
        try:
            await self._gather(others)
            found = await self._read_for(dict.fromkeys((id_, *(each.id_ for each in others))))
        except TransientError as error:
            failed = error
            raise
        except Exception:
            if not others:
                raise
        finally:  # also where the request that leads was given up
            for each in others:
                each.settle(found, failed)
        return found

    async def _gather(self, others: "list[_Waiting[V]]") -> None:
        self._next = others
        try:
            if self._under_way is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wait([self._under_way], timeout=_PATIENCE_SECONDS)
        finally:
            self._next = None

    async def _read_for(self, ids: Iterable[str]) -> Mapping[str, V]:
        under_way = self._under_way = asyncio.get_running_loop().create_future()
        try:
            return await self._read(ids)
        finally:
            if self._under_way is under_way:
                self._under_way = None
            under_way.set_result(None)


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[V]):
    """Who waits for somebody else's read."""

    id_: str
    found: "asyncio.Future[Mapping[str, V] | None]"

    def settle(self, found: Mapping[str, V] | None, failed: TransientError | None) -> None:
        """Answer, unless he has left."""
        if self.found.done():
            return
        if failed is not None:
            self.found.set_exception(failed)
        else:
            self.found.set_result(found)


@dataclass(frozen=True, slots=True)
class Singles:
    """What requests ask for one by one."""

    keys: Gathered[ApiKey]
    entries: Gathered[EntryDocument]
    summaries: Gathered[Conversation]

    @classmethod
    def of(cls, keys: KeyStore, store: TimelineStore) -> "Singles":
        """Over the stores of one process."""
        return cls(Gathered(keys.by_digests), Gathered(store.entries), Gathered(store.summaries))
