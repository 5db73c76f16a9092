"""A large batch is decided about in two lanes that go side by side."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import pytest
from router.domain.messages import message_of
from router.pipeline import lanes
from router.store.port import ContactChange, Stored
from router.store.sqlite import SqliteTimeline
from router.testing.desk import Desk, mail
from threadline_events.ids import contact_id
from threadline_runtime.errors import ConfigurationError, TransientError

PEOPLE = [f"customer{n}@client.test" for n in range(60)]
MAILS = [mail(f"m{n}", PEOPLE[n % len(PEOPLE)], minute=n // len(PEOPLE)) for n in range(240)]


class Meeting(SqliteTimeline):
    """A store in which whoever first reads contacts waits until another does."""

    async def contacts(self, contact_ids: Iterable[str]) -> Mapping[str, Stored]:
        self.met = getattr(self, "met", None) or asyncio.Barrier(2)
        async with asyncio.timeout(10):
            await self.met.wait()
        return await super().contacts(contact_ids)


class Slow(SqliteTimeline):
    """A store that refuses one customer's document at once, once, and takes its time over all others."""

    refuses: str | None = contact_id("acme", f"email:{PEOPLE[0]}")

    async def commit_contacts(self, changes: Sequence[ContactChange]) -> frozenset[str]:
        if any(change.contact.contact_id == self.refuses for change in changes):
            self.refuses = None
            raise TransientError("just now it cannot be written")
        for _ in range(20):
            await asyncio.sleep(0)
        return await super().commit_contacts(changes)


def desk_over(kind: type[SqliteTimeline]) -> Desk:
    desk = Desk()
    desk.put_together(kind(desk.database))
    return desk


async def stored(desk: Desk) -> list[tuple[str, int]]:
    """Author and sequence number of each entry."""
    entries = (await desk.store.entries({m.message_id for m in MAILS})).values()
    return sorted((e.party_identity, e.inbound_seq) for e in entries)


EVERYTHING = sorted((f"email:{person}", place + 1) for person in PEOPLE for place in range(4))


def test_every_customer_has_one_lane_and_keeps_the_order_of_what_they_wrote():
    split = lanes([message_of(m, size=1) for m in MAILS])
    parties = [{m.party for m in lane} for lane in split]
    assert len(split) == 2
    assert not parties[0] & parties[1]
    assert len(parties[0]) == len(parties[1]) == 30
    for lane in split:
        told = [m.event.order for m in lane]
        assert told == sorted(told)


@pytest.mark.parametrize("count", [0, 1, 199])
def test_a_small_batch_is_not_split(count: int):
    some = [message_of(m, size=1) for m in MAILS[:count]]
    assert lanes(some) == [some]


async def test_lanes_go_side_by_side():
    desk = desk_over(Meeting)
    await desk.take(*MAILS)
    assert await stored(desk) == EVERYTHING


class Refusing(SqliteTimeline):
    """A store that cannot be reached for one lane and says to the other that it is set up wrongly."""

    async def commit_contacts(self, changes: Sequence[ContactChange]) -> frozenset[str]:
        if any(change.contact.contact_id == contact_id("acme", f"email:{PEOPLE[0]}") for change in changes):
            raise TransientError("just now it cannot be reached")
        raise ConfigurationError("it was never migrated")


async def test_of_two_errors_the_one_that_waiting_does_not_mend_is_raised():
    with pytest.raises(ConfigurationError):
        await desk_over(Refusing).take(*MAILS)


async def test_a_lane_that_fails_waits_for_the_other_before_the_batch_is_tried_again():
    desk = desk_over(Slow)
    with pytest.raises(TransientError):
        await desk.take(*MAILS)
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    halfway = await stored(desk)
    assert not running
    assert len(halfway) == 120
    await desk.take(*MAILS)
    assert await stored(desk) == EVERYTHING
