"""Reads of one document each that many requests ask for at the same time, made one: a burst of readers costs one or two reads.

Such bursts come whenever a stream tells of a batch. Not here: what a key may see (`reading`), and caches; none would be right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from threadline_events.timeline import Conversation

from router.api.keys import ApiKey, KeyStore
from router.domain.documents import EntryDocument
from router.store.port import TimelineStore

__all__ = ["Gathered", "Singles"]

V = TypeVar("V")


class Gathered(Generic[V]):
    """Reads by id. Those that are asked for while a read is under way make up the next one.

    So what is answered was read after it was asked for, as by a read of one's own. For one event loop.
    """

    def __init__(self, read: Callable[[Iterable[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._read = read
        self._reading = asyncio.Lock()
        self._wanted: dict[str, None] = {}
        self._next: asyncio.Task[Mapping[str, V]] | None = None

    async def one(self, id_: str) -> V | None:
        """The document with this id, if there is one; raises what the read raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_next())
        self._wanted[id_] = None
        # who is cancelled only stops waiting: the others are answered all the same
        return (await asyncio.shield(self._next)).get(id_)

    async def _read_next(self) -> Mapping[str, V]:
        async with self._reading:
            wanted, self._wanted, self._next = self._wanted, {}, None
            return await self._read(wanted)


@dataclass(frozen=True, slots=True)
class Singles:
    """What requests ask for one by one."""

    keys: Gathered[ApiKey]
    entries: Gathered[EntryDocument]
    summaries: Gathered[Conversation]

    @classmethod
    def of(cls, keys: KeyStore, store: TimelineStore) -> "Singles":
        """Over the stores of one process."""

        async def by_digests(digests: Iterable[str]) -> Mapping[str, ApiKey]:
            wanted = list(digests)
            found = await asyncio.gather(*map(keys.by_digest, wanted))
            return {digest: key for digest, key in zip(wanted, found, strict=True) if key is not None}

        return cls(Gathered(by_digests), Gathered(store.entries), Gathered(store.summaries))
