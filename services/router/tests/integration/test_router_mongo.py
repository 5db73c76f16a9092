"""The whole router over MongoDB: its books balance, and several of it beside each other decide everything once."""

import asyncio
import contextlib
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from router.app import migrate
from router.audit import AccountAudit
from router.consuming import GROUPS
from router.domain.documents import Claim
from router.store.mongo import MongoTimeline
from router.store.port import ConversationQuery, EntryPage
from router.testing.desk import Desk, mail
from router.testing.small_shop import router_on
from threadline_events.intakes import Intake
from threadline_events.records import inbound_record, intake_record
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.mongo import MongoCollection, MongoDatabase
from threadline_runtime.sqlite import MEMORY, SqliteDatabase

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


@pytest.fixture
async def router(mongodb: MongoDatabase, tmp_path):
    await migrate(mongodb)
    bus = await SqliteBus.open(SqliteDatabase.open(MEMORY), version="test")
    made = router_on(bus, mongodb, tmp_path)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await bus.close()


def taken(event, **more) -> Intake:
    fields = {"intake_id": event.intake_id, "event_count": 1, "raw": b"From: ann@client.test\r\n\r\nhello", "account_id": event.account_id}
    standing = {"channel": "email", "brand": "acme", "received_at": NOW - timedelta(hours=1), "origin": "poll"}
    return Intake(**standing, **fields | more, media_type="message/rfc822")


def fresh(name: str, **more):
    at = NOW - timedelta(hours=1)
    return mail(name, **more).model_copy(update={"received_at": at, "occurred_at": at})


async def passed(router) -> None:
    while True:
        parts = [p for topic, group in GROUPS.items() for p in await router.bus.progress(group, [topic])]
        if parts and all(p.committed >= p.end for p in parts):
            return
        await asyncio.sleep(0.01)


async def books(router) -> AccountAudit:
    (account,) = (await router.audit.run(NOW)).accounts
    return account


async def test_the_books_balance_and_notice_what_is_missing(router, mongodb: MongoDatabase):
    """P3: stored, duplicate, rejected and dead-lettered are told apart; a lost and an unexplained event are named."""
    one, again, unread = fresh("m1"), fresh("m1", intake="i_again"), fresh("unread")
    record = inbound_record(unread)
    broken = type(record)(record.topic, record.key, b"{not json", record.headers)
    await router.bus.publish([inbound_record(one)], then=[intake_record(taken(one))])
    await passed(router)
    await router.bus.publish([inbound_record(again), broken], then=[intake_record(taken(again)), intake_record(taken(unread))])
    refused = taken(fresh("refused"), event_count=0, outcome="rejected", reason="timeout")
    await router.bus.publish([], then=[intake_record(refused)])
    await passed(router)

    balanced = await books(router)
    counts = Counter({name.partition("(")[0]: count for name, count in balanced.outcomes.items()})
    assert counts == {"stored": 1, "duplicate": 1, "rejected": 1, "dead-lettered": 1}
    assert (balanced.missing, balanced.unjournalled) == (0, 0)

    await router.bus.publish([inbound_record(fresh("unexplained"))], then=[intake_record(taken(fresh("lost")))])
    await passed(router)
    bad = await books(router)
    assert (bad.missing, bad.lost, bad.unjournalled) == (1, ["i_lost/0"], 1)

    await mongodb.collection("router_entries").delete({"_id": one.message_id})
    assert set((await books(router)).lost) == {"i_lost/0", "i_m1/0"}, "an entry deleted by hand is named"


async def test_every_summary_can_be_derived_again(router):
    """Design 8: summaries are derived, so a page of them can be made again at any time."""
    events = [fresh(f"m{n}", author=f"author{n}@client.test") for n in range(3)]
    await router.bus.publish([inbound_record(e) for e in events], then=[intake_record(taken(e)) for e in events])
    await passed(router)
    assert await router.derive_all() == 3


async def test_several_routers_beside_each_other_decide_everything_once(mongodb: MongoDatabase):
    """P2, P8: the same records on three routers at once, in other orders and batches: nothing lost, doubled or left undone."""
    await migrate(mongodb)
    authors = [f"author{n}@client.test" for n in range(4)]
    first = [mail(f"m{n}", authors[n % 4], minute=n) for n in range(24)]
    again = [mail(f"m{n}", authors[n % 4], minute=n, intake=f"i_again{n}", account="sales-mail") for n in range(0, 24, 3)]
    replies = [mail(f"r{n}", "friend@client.test", minute=30 + n, answers=f"m{n}@client.test") for n in range(4)]

    async def work(seed: int) -> Desk:
        class MongoDesk(Desk):
            def __post_init__(self) -> None:
                self.put_together(MongoTimeline(mongodb))

        desk, order = MongoDesk(), random.Random(seed)
        for some in (first, [*again, *replies]):
            mixed = order.sample(some, len(some))
            while mixed:
                size = order.randint(1, 9)
                await desk.take(*mixed[:size])
                mixed = mixed[size:]
        return desk

    desk = (await asyncio.gather(*(work(seed) for seed in range(3))))[0]
    desk.now += timedelta(hours=1)
    await desk.sweeper.sweep()

    store = desk.store
    entries = await store.entries(e.message_id for e in [*first, *replies])
    assert len(entries) == 28
    assert await mongodb.collection("router_entries").grouped([{"$group": {"_id": None, "n": {"$sum": 1}}}]) == [{"_id": None, "n": 28}]
    assert await store.owing(desk.now + timedelta(days=1), 10) == []
    talks = await store.conversations(ConversationQuery(brands=frozenset({"acme"})))
    assert len(talks) == 4
    for talk in talks:
        page = await store.entry_page(EntryPage(strands=frozenset({talk.conversation_id}), limit=100))
        assert len(page) == 7
        assert [e.occurred_at for e in page] == sorted(e.occurred_at for e in page)
    for event in again:
        assert await desk.outcome(event) == ("duplicate", None)
        assert set(entries[event.message_id].accounts) == {"support-mail", "sales-mail"}


async def test_who_finds_a_message_finds_it_by_its_names(mongodb: MongoDatabase, monkeypatch: pytest.MonkeyPatch):
    """Design 4: both sides write before they look, so a crash or another router never sees a message that nothing leads to."""
    store = MongoTimeline(mongodb)
    seen: list[tuple[str, bool]] = []
    insert = MongoCollection.insert

    async def watched(self: MongoCollection, documents):
        for document in documents:
            claimed = [c for c in claims if c.message_id == document["_id"]]
            leads = await mongodb.collection("router_names").by_ids(name for c in claimed for name in c.names)
            seen.append((document["_id"], bool(leads)))
        return await insert(self, documents)

    claims = [Claim(message_id="m_1", brand="acme", party="p_1", party_identity="email:a@client.test", names=("n1",), mentions=("n0",))]
    monkeypatch.setattr(MongoCollection, "insert", watched)
    await store.claim(claims)
    assert seen == [("m_1", True)]


async def test_a_name_that_thousands_mention_leads_to_a_few_for_ever(mongodb: MongoDatabase):
    """Issue 5: the cost of a message does not grow with its thread; writing again changes nothing."""
    store = MongoTimeline(mongodb)
    claims = [
        Claim(message_id=f"m_{n}", brand="acme", party="p", party_identity="email:a@client.test", mentions=("root",)) for n in range(300)
    ]
    for _ in range(2):
        for start in range(0, 300, 100):
            await store.claim(claims[start : start + 100])
    first = await mongodb.collection("router_mentions").find({})
    found = (await store.mentioning(["root"]))["root"]
    assert 1 <= len(found) <= 8
    assert {ref.message_id for ref in found} <= {c.message_id for c in claims[:100]}, "the oldest"
    await store.claim(claims)
    assert await mongodb.collection("router_mentions").find({}) == first
