"""What every DeliveryStore promises. An adapter's test subclasses `DeliveryStoreSuite` and gives it a `store` fixture."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from threadline_events.outbound import MailAddressing, OutboundMessage
from threadline_events.states import DeliveryRank

from notifier.domain.delivery import Delivery, accept, mark_reported, open_call, settle
from notifier.domain.outcomes import Failed, Outcome, Sent, Unknown
from notifier.store.port import DeliveryStore, Totals

__all__ = ["NOW", "DeliveryStoreSuite", "outbound"]

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def outbound(
    message_id: str = "m_1", *, thread: str = "root@client.test", account: str = "support-mail", attempt: int = 1, at: datetime = NOW
) -> OutboundMessage:
    """A reply by mail, as the router would publish it."""
    return OutboundMessage(
        message_id=message_id,
        conversation_id="c_1",
        channel="email",
        account_id=account,
        brand="acme",
        native_thread=thread,
        attempt=attempt,
        reply_address={"address": "ann@client.test"},
        text="Your parcel is on its way.",
        subject="Re: Where is my order?",
        mail=MailAddressing(
            message_id=f"{message_id}.{attempt}@acme.test",
            envelope_sender=f"bounce+{message_id}@acme.test",
            reply_to="support+token@acme.test",
        ),
        queued_at=at,
    )


def _delivery(name: str, offset: int, *, thread: str = "root@client.test", account: str = "support-mail") -> Delivery:
    return accept(outbound(name, thread=thread, account=account), offset)


class DeliveryStoreSuite:
    """The behaviour of the port, the same on every adapter."""

    async def test_a_delivery_is_stored_as_it_is(self, store: DeliveryStore) -> None:
        """Nothing of a delivery is lost on the way to the store and back."""
        before = accept(outbound(), 7)
        await store.insert([before])
        called = open_call(before, 3, NOW)
        assert await store.replace(called)
        deferred = settle(called, 1, Unknown("no answer in time", may_repeat=True, code="421"), NOW, 0.5)
        assert deferred is not None
        assert await store.replace(deferred)
        assert await store.find(before.id) == deferred

    async def test_the_first_insert_stands(self, store: DeliveryStore) -> None:
        """P2: a message consumed again is the same delivery, with all that happened to it since."""
        first = accept(outbound(), 7)
        await store.insert([first])
        called = open_call(first, 3, NOW)
        assert await store.replace(called)
        assert await store.insert([accept(outbound(), 9)]) == [called]

    async def test_another_attempt_is_another_delivery(self, store: DeliveryStore) -> None:
        """P4: a person's retry is sent although the first attempt is over."""
        first, second = accept(outbound(), 1), accept(outbound(attempt=2), 2)
        await store.insert([first, second])
        assert await store.open_in_lane(first.lane, 10) == [first, second]

    async def test_replace_needs_the_version_before(self, store: DeliveryStore) -> None:
        """P2: of two workers that read the same document only one opens the call."""
        stored = accept(outbound(), 1)
        await store.insert([stored])
        mine, other = open_call(stored, 1, NOW), open_call(stored, 2, NOW + timedelta(seconds=1))
        assert await store.replace(mine)
        assert not await store.replace(other)
        assert await store.find(stored.id) == mine

    async def test_replace_of_what_is_not_there(self, store: DeliveryStore) -> None:
        """A delivery is only made by insert."""
        assert not await store.replace(open_call(accept(outbound("m_nobody"), 1), 1, NOW))

    async def test_a_lane_reads_in_order_of_acceptance(self, store: DeliveryStore) -> None:
        """P4: the oldest goes first, however the records came."""
        late = accept(outbound("m_a", at=NOW + timedelta(minutes=1)), 1)
        early = accept(outbound("m_b"), 2)
        other = accept(outbound("m_c", thread="another@client.test"), 3)
        await store.insert([late, early, other])
        assert await store.open_in_lane(early.lane, 10) == [early, late]
        assert await store.open_in_lane(early.lane, 1) == [early]

    async def test_final_and_reported_is_over(self, store: DeliveryStore) -> None:
        """P3: a result that was not reported keeps its delivery open."""
        stored = accept(outbound(), 1)
        await store.insert([stored])
        called = open_call(stored, 1, NOW)
        sent = settle(called, 1, Sent(("a@b",)), NOW, 0.0)
        assert sent is not None
        assert await store.replace(called)
        assert await store.replace(sent)
        assert await store.open_in_lane(stored.lane, 10) == [sent]
        assert await store.replace(mark_reported(sent))
        assert await store.open_in_lane(stored.lane, 10) == []

    async def test_due_is_cleared_only_as_it_was_read(self, store: DeliveryStore) -> None:
        """P3: a delivery that came while a worker looked keeps its lane due."""
        await store.raise_due({"lane": "support-mail"}, NOW)
        read = await store.lane("lane")
        assert read is not None
        await store.raise_due({"lane": "support-mail"}, NOW)
        assert not await store.clear_due(read)
        again = await store.lane("lane")
        assert again is not None
        assert await store.clear_due(again)
        assert await store.lane("lane") is None

    async def test_due_never_takes_an_old_number_again(self, store: DeliveryStore) -> None:
        """P3: a worker that looked before the lane was cleared cannot clear a later mark."""
        await store.raise_due({"lane": "support-mail"}, NOW)
        old = await store.lane("lane")
        assert old is not None
        assert await store.clear_due(old)
        await store.raise_due({"lane": "support-mail"}, NOW)
        assert not await store.clear_due(old)
        assert await store.lane("lane") is not None

    async def test_due_lanes_of_one_account(self, store: DeliveryStore) -> None:
        """An account sees its own lanes, those that rest are left out, the longest due first."""
        await store.raise_due({"one": "support-mail", "two": "support-mail", "three": "other-mail"}, NOW)
        one = await store.lane("one")
        assert one is not None
        assert await store.postpone(one, NOW + timedelta(minutes=5))
        assert [lane.key for lane in await store.due_lanes("support-mail", NOW, 10)] == ["two"]
        assert [lane.key for lane in await store.due_lanes("support-mail", NOW + timedelta(minutes=5), 10)] == ["two", "one"]
        assert len(await store.due_lanes("support-mail", NOW + timedelta(minutes=5), 1)) == 1

    async def test_the_longest_due_first(self, store: DeliveryStore) -> None:
        """No lane starves: a mark keeps the time since which the lane is due."""
        await store.raise_due({"b": "support-mail"}, NOW)
        await store.raise_due({"a": "support-mail"}, NOW + timedelta(seconds=1))
        await store.raise_due({"b": "support-mail"}, NOW + timedelta(seconds=2))
        due = await store.due_lanes("support-mail", NOW + timedelta(seconds=2), 10)
        assert [lane.key for lane in due] == ["b", "a"]
        assert await store.clear_due(due[0])
        await store.raise_due({"b": "support-mail"}, NOW + timedelta(seconds=3))
        due = await store.due_lanes("support-mail", NOW + timedelta(seconds=3), 10)
        assert [lane.key for lane in due] == ["a", "b"]

    async def test_next_due(self, store: DeliveryStore) -> None:
        """The schedule is in the store, so it survives a restart."""
        before = NOW - timedelta(milliseconds=1)
        assert await store.next_due_at("support-mail", before) is None
        await store.raise_due({"one": "support-mail"}, NOW - timedelta(hours=1))
        assert await store.next_due_at("support-mail", before) is None
        one = await store.lane("one")
        assert one is not None
        assert await store.postpone(one, NOW)
        assert await store.next_due_at("support-mail", before) == NOW
        assert await store.next_due_at("support-mail", NOW) is None
        assert await store.clear_due(one)
        assert await store.next_due_at("support-mail", before) is None

    async def test_a_mark_ends_a_rest(self, store: DeliveryStore) -> None:
        """A late result or a new delivery is looked at at once, and a rest decided before does not hide it."""
        await store.raise_due({"one": "support-mail"}, NOW)
        one = await store.lane("one")
        assert one is not None
        assert await store.postpone(one, NOW + timedelta(hours=1))
        await store.raise_due({"one": "support-mail"}, NOW)
        assert len(await store.due_lanes("support-mail", NOW, 10)) == 1
        assert not await store.postpone(one, NOW + timedelta(hours=1))

    async def test_unreported_lanes(self, store: DeliveryStore) -> None:
        """P3: a final result whose lane nobody looks at any more can be found, and only such a one."""
        waiting, stored, other = (
            _delivery("m_1", 1),
            _delivery("m_2", 2, thread="zoe@client.test"),
            _delivery("m_3", 3, account="other-mail"),
        )
        await store.insert([waiting, stored, other])
        called = open_call(stored, 1, NOW)
        assert await store.replace(called)
        assert await store.unreported_lanes("support-mail", 10) == []
        sent = settle(called, 1, Sent(("a@b",)), NOW, 0.0)
        assert sent is not None
        assert await store.replace(sent)
        assert await store.unreported_lanes("support-mail", 10) == [stored.lane]
        assert await store.unreported_lanes("other-mail", 10) == []
        assert await store.replace(mark_reported(sent))
        assert await store.unreported_lanes("support-mail", 10) == []

    async def test_totals_conserve(self, store: DeliveryStore) -> None:
        """P3: accepted = sent + failed + uncertain + in flight, per account; repeats apart."""
        outcomes: dict[str, Outcome | None] = {
            "m_1": Sent(("a@b",)),
            "m_2": Failed("550", "550 5.1.1"),
            "m_3": Unknown("crash", may_repeat=False),
            "m_4": None,
        }
        for offset, (name, outcome) in enumerate(outcomes.items()):
            stored = _delivery(name, offset)
            await store.insert([stored])
            called = open_call(stored, 1, NOW)
            assert await store.replace(called)
            if outcome is not None:
                settled = settle(called, 1, outcome, NOW, 0.0)
                assert settled is not None
                assert await store.replace(settled)
        repeated = replace(open_call(_delivery("m_5", 9, account="other-mail"), 1, NOW), repeats=1, version=1)
        await store.insert([repeated])
        totals = await store.totals()
        assert totals["support-mail"] == Totals(accepted=4, sent=1, failed=1, uncertain=1, in_flight=1)
        assert totals["other-mail"] == Totals(accepted=1, in_flight=1, repeated=1)
        assert await store.totals(NOW + timedelta(seconds=1)) == {}
        assert repeated.rank is DeliveryRank.SENDING
