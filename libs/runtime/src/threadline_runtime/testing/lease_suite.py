"""The behaviour suite of the lease store port, with two observers whose clocks disagree; an adapter's test subclasses it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from threadline_runtime.errors import TransientError
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.port import Lease, LeaseStore, Sighting

__all__ = ["Clock", "LeaseSuite"]


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self, start: float) -> None:
        self.time = start

    def __call__(self) -> float:
        """The time now."""
        return self.time


class _Slow:
    """A store that takes a while to answer, as the observer's clock sees it."""

    def __init__(self, store: LeaseStore, clock: Clock, seconds: float) -> None:
        self._store, self._clock, self._seconds = store, clock, seconds
        self.beat, self.beats, self.silence = store.beat, store.beats, store.silence
        self.take, self.release = store.take, store.release

    async def look(self, name: str) -> Sighting:
        sighting = await self._store.look(name)
        self._clock.time += self._seconds
        return sighting


class _Away:
    """A store that does not answer when a lease is given up."""

    def __init__(self, store: LeaseStore) -> None:
        self.beat, self.beats, self.silence = store.beat, store.beats, store.silence
        self.take, self.look = store.take, store.look

    async def release(self, lease: Lease) -> None:
        raise TransientError(f"the store is away: {lease.name}")


class LeaseSuite(ABC):
    """What every adapter promises."""

    @abstractmethod
    async def make_store(self) -> LeaseStore:
        """An empty store."""

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[LeaseStore]:
        """The store under test."""
        yield await self.make_store()

    async def look_often(self, leases: Leases, clock: Clock, times: int, step: float) -> Lease | None:
        """Attempt again and again while the observer's clock goes on."""
        lease = None
        for _ in range(times):
            clock.time += step
            lease = lease or await leases.attempt("mailbox")
        return lease

    async def test_a_free_lease_is_taken_and_kept(self, store: LeaseStore) -> None:
        """The first comes in at once; asking again answers the same lease."""
        leases = Leases(store, "a", Clock(0))
        lease = await leases.attempt("mailbox")
        assert lease == Lease("mailbox", "a", 1)
        assert await leases.attempt("mailbox") == lease
        assert await leases.is_held(lease)

    async def test_a_beating_holder_keeps_its_lease_whatever_the_clocks_say(self, store: LeaseStore) -> None:
        """P2: no wall clock is trusted; a living holder is never deposed, for hours of the observer's time."""
        first, clock = Leases(store, "a", Clock(0)), Clock(1e9)
        second = Leases(store, "b", clock)
        lease = await first.attempt("mailbox")
        for _ in range(50):
            await first.raise_beat()
            clock.time += 3600
            assert await second.attempt("mailbox") is None
        assert lease is not None
        assert await first.is_held(lease)

    async def test_a_silent_holder_is_deposed_and_its_token_is_old(self, store: LeaseStore) -> None:
        """After five quick reads over 20 s without a new beat; the token fences whoever was deposed."""
        first, clock = Leases(store, "a", Clock(0)), Clock(5)
        second = Leases(store, "b", clock)
        old = await first.attempt("mailbox")
        assert await self.look_often(second, clock, 5, 4.9) is None, "19.6 s are not 20"
        lease = await self.look_often(second, clock, 1, 4.9)
        assert lease == Lease("mailbox", "b", 2)
        assert old is not None
        assert not await first.is_held(old)
        await first.release(old)
        assert await second.is_held(lease)

    async def test_few_or_bursting_reads_prove_nothing(self, store: LeaseStore) -> None:
        """20 s with too few reads, as after a frozen observer, are no proof."""
        first, clock = Leases(store, "a", Clock(0)), Clock(5)
        second = Leases(store, "b", clock)
        await first.attempt("mailbox")
        assert await self.look_often(second, clock, 20, 0.01) is None
        assert await self.look_often(second, clock, 1, 60) is None

    async def test_slow_answers_prove_nothing(self, store: LeaseStore) -> None:
        """An answer that took more than 2 s may be old."""
        first, clock = Leases(store, "a", Clock(0)), Clock(5)
        second = Leases(_Slow(store, clock, 2.5), "b", clock)
        await first.attempt("mailbox")
        assert await self.look_often(second, clock, 20, 4) is None

    async def test_a_lease_given_up_is_free_at_once_and_the_token_goes_on(self, store: LeaseStore) -> None:
        """A clean stop makes nobody wait."""
        first, second = Leases(store, "a", Clock(0)), Leases(store, "b", Clock(0))
        lease = await first.attempt("mailbox")
        assert lease is not None
        await first.release(lease)
        assert await second.attempt("mailbox") == Lease("mailbox", "b", 2)

    async def test_a_lease_that_could_not_be_given_up_is_still_ours(self, store: LeaseStore) -> None:
        """Nobody else can take it while we beat, so the next attempt of ours has it."""
        leases = Leases(_Away(store), "a", Clock(0))
        lease = await leases.attempt("mailbox")
        assert lease is not None
        with pytest.raises(TransientError):
            await leases.release(lease)
        assert await leases.attempt("mailbox") == lease

    async def test_of_two_who_see_a_free_lease_one_gets_it(self, store: LeaseStore) -> None:
        """Taking is one compare-and-set."""
        seen = (await store.look("mailbox")).lease
        assert await store.take("mailbox", seen, "a") == Lease("mailbox", "a", 1)
        assert await store.take("mailbox", seen, "b") is None
        later = (await store.look("mailbox")).lease
        assert await store.take("mailbox", later, "c") == Lease("mailbox", "c", 2)
        assert await store.take("mailbox", later, "d") is None

    async def test_an_old_sighting_takes_nothing(self, store: LeaseStore) -> None:
        """Who saw the lease before it was given up, or before its holder took it again, has to look again."""
        first = await store.take("mailbox", None, "a")
        assert first is not None
        await store.release(first)
        assert await store.take("mailbox", first, "b") is None
        assert await store.take("mailbox", (await store.look("mailbox")).lease, "a") == Lease("mailbox", "a", 2)
        assert await store.take("mailbox", first, "b") is None

    async def test_the_sole_process_takes_a_dead_ones_lease_at_once(self, store: LeaseStore) -> None:
        """P9: after a kill -9, `up` goes on without waiting, under a new token."""
        await Leases(store, "before the crash", Clock(0)).attempt("mailbox")
        assert await Leases(store, "after", Clock(0), sole=True).attempt("mailbox") == Lease("mailbox", "after", 2)

    async def test_the_beats_of_the_dead_are_removed_and_those_of_the_living_stay(self, store: LeaseStore) -> None:
        """Killed processes leave a beat each; who has not beaten between two looks, minutes apart, has ended."""
        alive, dead, looking = (Leases(store, name, Clock(0)) for name in ("alive", "dead", "looking"))
        for leases in (alive, dead, looking):
            await leases.raise_beat()
        await looking.bury_dead()
        assert set(await store.beats()) == {"alive", "dead", "looking"}
        await alive.raise_beat()
        await looking.bury_dead()
        assert await store.beats() == {"alive": 2, "looking": 1}

    async def test_the_sole_process_knows_all_others_dead(self, store: LeaseStore) -> None:
        """P9: `up` removes what its killed predecessors left at its first look."""
        await Leases(store, "before the crash", Clock(0)).raise_beat()
        after = Leases(store, "after", Clock(0), sole=True)
        await after.raise_beat()
        await after.bury_dead()
        assert set(await store.beats()) == {"after"}

    async def test_who_was_buried_alive_keeps_its_lease(self, store: LeaseStore) -> None:
        """A process that was stopped for minutes and goes on writes its beat again before anybody has watched it long enough."""
        clock = Clock(0)
        slow, looking = Leases(store, "slow", Clock(0)), Leases(store, "looking", clock)
        lease = await slow.attempt("mailbox")
        assert lease is not None
        await looking.bury_dead()
        await looking.bury_dead()
        for second in range(0, 40, 4):
            clock.time = float(second)
            assert await looking.attempt("mailbox") is None
            await slow.raise_beat()
        assert await slow.is_held(lease)
