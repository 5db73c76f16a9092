"""What every checkpoint store must do, as tests; an adapter's test subclasses it and gives a store."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import pytest

from threadline_connectors.checkpoints import CheckpointStore, Deposed
from threadline_connectors.pollers import Source
from threadline_connectors.testing.guard import Guarded

__all__ = ["CheckpointStoreSuite"]

INBOX = Source("support-mail", "INBOX")
SPAM = Source("support-mail", "Spam")


class CheckpointStoreSuite(Guarded, ABC):
    """Subclass it as `TestX` and say how a store that is empty and migrated is opened."""

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[CheckpointStore]:
        """A new store."""

    async def test_nothing_is_stored_at_first(self) -> None:
        """A source that never ran has no position."""
        async with self.opened() as store:
            assert await store.position(INBOX) is None
            assert await store.claim(INBOX, 1) is None

    async def test_position_is_read_by_the_next_holder(self) -> None:
        """P1: the next holder goes on where the last one stored."""
        async with self.opened() as store:
            await store.claim(INBOX, 1)
            await store.store(INBOX, 1, "a")
            await store.store(INBOX, 1, "b")
            assert await store.claim(INBOX, 2) == "b"
            assert await store.position(INBOX) == "b"

    async def test_a_deposed_holder_cannot_store(self) -> None:
        """Once a new holder has claimed, the old one writes nothing, whatever it believes."""
        async with self.opened() as store:
            await store.claim(INBOX, 1)
            await store.store(INBOX, 1, "a")
            await store.claim(INBOX, 2)
            with pytest.raises(Deposed):
                await store.store(INBOX, 1, "late")
            assert await store.position(INBOX) == "a"
            with pytest.raises(Deposed):
                await store.claim(INBOX, 1)
            await store.store(INBOX, 2, "b")
            assert await store.position(INBOX) == "b"

    async def test_storing_without_a_claim_is_refused(self) -> None:
        """A token that was never written into the checkpoint writes nothing."""
        async with self.opened() as store:
            with pytest.raises(Deposed):
                await store.store(INBOX, 1, "a")
            assert await store.position(INBOX) is None

    async def test_claiming_again_under_the_same_token(self) -> None:
        """A holder that reconnects claims again and keeps its position."""
        async with self.opened() as store:
            await store.claim(INBOX, 3)
            await store.store(INBOX, 3, "a")
            assert await store.claim(INBOX, 3) == "a"

    async def test_sources_are_apart(self) -> None:
        """Two folders of an account, and folders with odd names, do not share a position."""
        odd = Source("support-mail", 'Été & "Co"/受信箱')
        async with self.opened() as store:
            for source in (INBOX, SPAM, odd):
                await store.claim(source, 1)
                await store.store(source, 1, source.stream)
            assert [await store.position(source) for source in (INBOX, SPAM, odd)] == ["INBOX", "Spam", odd.stream]

    async def test_of_many_claims_the_highest_token_wins(self) -> None:
        """Claims at once: afterwards only the highest token stores."""
        async with self.opened() as store:
            await asyncio.gather(*(store.claim(INBOX, token) for token in (5, 1, 4, 2, 3)), return_exceptions=True)
            for token in (1, 2, 3, 4):
                with pytest.raises(Deposed):
                    await store.store(INBOX, token, "low")
            await store.store(INBOX, 5, "high")
            assert await store.position(INBOX) == "high"
