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
    """Reads by id. Those that are asked for while a read is under way make up the next one, and wait for it a tenth of a second at most.

    So what is answered was read after it was asked for, as by a read of one's own. For one event loop.
    """

    def __init__(self, read: Callable[[Iterable[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._read = read
        self._wanted: dict[str, None] = {}
        self._last: asyncio.Task[Mapping[str, V]] | None = None

    async def one(self, id_: str) -> V | None:
        """The document with this id, if there is one; raises what its read raised."""
        if self._last is None or not self._wanted:
            self._last = asyncio.create_task(self._read_after(self._last))
            self._last.add_done_callback(_told)
        self._wanted[id_] = None
        try:
            # who is cancelled only stops waiting: the others are answered all the same
            return (await asyncio.shield(self._last)).get(id_)
        except TransientError:
            raise
        except Exception:  # perhaps another's document that cannot be read: it must not answer for this one
            return (await self._read([id_])).get(id_)

    async def _read_after(self, before: asyncio.Task[Mapping[str, V]] | None) -> Mapping[str, V]:
        if before is not None:  # a read that hangs holds up nobody for long
            await asyncio.wait([before], timeout=_PATIENCE_SECONDS)
        wanted, self._wanted = self._wanted, {}
        return await self._read(wanted)


def _told(read: asyncio.Task[Mapping[str, V]]) -> None:
    """Whoever stopped waiting does not want a warning about how it ended."""
    if not read.cancelled():
        read.exception()


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
