"""What every adapter of the router's stores must do, as tests: subclass `StoreSuite` and give it the fixture `store`.

Each test says what the rules lean on: a compare-and-set that compares, a first insert that stands, a highest version that stays.
Not here: transactions; no rule leans on one.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from threadline_events import ids
from threadline_events.evidence import Evidence
from threadline_events.inbound import Author
from threadline_events.keys import target_key
from threadline_events.states import DeliveryRank
from threadline_events.timeline import Conversation

from router.domain.documents import (
    Attempt,
    Claim,
    Contact,
    EntryDocument,
    IntakeRef,
    OutboxItem,
    Strand,
    Suggestion,
)
from router.domain.edges import new_edge
from router.store.port import (
    ContactChange,
    ConversationQuery,
    DeskStore,
    EdgeChange,
    EntryPage,
    Outcome,
    OutcomeStore,
    SummaryHead,
    TimelineStore,
    Waiting,
)

__all__ = ["RouterStore", "StoreSuite"]

_AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


class RouterStore(TimelineStore, OutcomeStore, DeskStore, Protocol):
    """All ports of one store."""


def _contact(version: int, name: str = "ann") -> Contact:
    return Contact(contact_id=f"p_{name}", brand="acme", identity=f"email:{name}@client.test", version=version)


def _item(number: int, minute: int = 0) -> OutboxItem:
    return OutboxItem(number=number, at=_AT + timedelta(minutes=minute))


def _change(expected: int, name: str = "ann", minute: int = 0) -> ContactChange:
    return ContactChange(expected, _contact(expected + 1, name), _item(expected + 1, minute))


def _strand(version: int, i: str = "c_1", owner: str = "p_ann", **more: Any) -> Strand:
    fields = {"status": "open", "opened_at": _AT, "last_activity_at": _AT, "inbound_seq": version} | more
    return Strand(strand_id=i, brand="acme", owner=owner, owner_identity="email:ann@client.test", version=version, **fields)


def _summary(version: int, i: str = "c_1", minute: int = 0, **more: Any) -> Conversation:
    at = _AT + timedelta(minutes=minute)
    fields = {"brand": "acme", "contact_id": "p_ann", "status": "open", "opened_at": _AT, "last_activity_at": at, "as_of": "e30"} | more
    return Conversation(conversation_id=i, version=version, **fields)


def _entry(i: str = "m_1", minute: int = 0, **more: Any) -> EntryDocument:
    at = _AT + timedelta(minutes=minute)
    fields: dict[str, Any] = {
        "brand": "acme",
        "party": "p_ann",
        "party_identity": "email:ann@client.test",
        "strand_id": "c_1",
        "direction": "inbound",
        "channel": "email",
        "account_id": "support-mail",
        "author": Author(identity="email:ann@client.test"),
        "occurred_at": at,
        "received_at": at,
        "text": f"text of {i}",
    }
    return EntryDocument(message_id=i, **(fields | more))


def _claim(party: str = "p_ann") -> Claim:
    return Claim(message_id="m_1", brand="acme", party=party, party_identity="email:x@client.test", names=("n1",), mentions=("n0",))


class StoreSuite:
    """Behaviour of the stores."""

    async def test_a_contact_is_stored_only_over_the_version_it_was_decided_on(self, store: RouterStore) -> None:
        """P2: nothing is decided twice."""
        assert await store.commit_contacts([_change(0)]) == {"p_ann"}
        assert await store.commit_contacts([_change(0), _change(0, "bob")]) == {"p_bob"}
        assert await store.commit_contacts([_change(1)]) == {"p_ann"}
        assert await store.commit_contacts([_change(1)]) == frozenset()
        stored = (await store.contacts(["p_ann", "p_none"]))["p_ann"]
        assert stored.contact.version == 2
        assert [item.number for item in stored.outbox] == [1, 2]

    async def test_taking_out_of_an_outbox_leaves_the_version(self, store: RouterStore) -> None:
        """Design 8: putting in raises the version, taking out does not."""
        await store.commit_contacts([_change(0), _change(0, "bob", minute=5)])
        assert [o.owner for o in await store.owing(_AT + timedelta(minutes=1), 10)] == ["p_ann"]
        await store.pull("contacts", [("p_ann", 1)])
        await store.pull("contacts", [("p_ann", 1)])
        stored = (await store.contacts(["p_ann"]))["p_ann"]
        assert (stored.contact.version, stored.outbox) == (1, ())
        assert [o.owner for o in await store.owing(_AT + timedelta(hours=1), 10)] == ["p_bob"]

    async def test_an_edge_is_compared_too_and_found_from_both_ends(self, store: RouterStore) -> None:
        """P7."""
        edge = new_edge("acme", "email:ann@client.test", "email:bob@client.test")
        first = edge.model_copy(update={"version": 1, "active": True})
        assert await store.commit_edge(EdgeChange(0, first, _item(1)))
        assert not await store.commit_edge(EdgeChange(0, first, _item(1)))
        second = edge.model_copy(update={"version": 2})
        assert await store.commit_edge(EdgeChange(1, second, _item(2)))
        for end in edge.pair:
            assert await store.edges_of([end]) == [second]
        assert await store.edges_of(list(edge.pair)) == [second]
        assert [i.number for i in (await store.edges([edge.link_id]))[edge.link_id].outbox] == [1, 2]

    async def test_the_highest_copy_of_a_strand_stays(self, store: RouterStore) -> None:
        """Copies are written late and beside each other."""
        await store.write_strands([_strand(2), _strand(1, "c_2", "p_bob", joins="c_1")])
        await store.write_strands([_strand(1), _strand(1, "c_2", "p_bob")])
        found = await store.strands(["c_1", "c_2", "c_3"])
        assert (found["c_1"].version, found["c_2"].joins, len(found)) == (2, "c_1", 2)
        assert [s.strand_id for s in await store.strands_of(["p_bob"])] == ["c_2"]
        assert [i async for page in store.all_strand_ids() for i in page] == ["c_1", "c_2"]

    async def test_strands_are_found_by_what_they_join_and_by_being_open(self, store: RouterStore) -> None:
        """What a conversation is made of costs by the conversation, not by the person's whole past."""
        joined = [_strand(1, "c_2", "p_bob", joins="c_1"), _strand(1, "c_3", "p_bob", joins="c_2", status="resolved")]
        await store.write_strands([_strand(1), *joined, _strand(1, "c_4")])
        assert {s.strand_id for s in await store.strands_joined_to(["c_1"])} == {"c_1", "c_2"}
        assert {s.strand_id for s in await store.strands_joined_to(["c_2", "c_4"])} == {"c_2", "c_3", "c_4"}
        assert {s.strand_id for s in await store.open_strands_of(["p_bob", "p_ann"])} == {"c_1", "c_2", "c_4"}
        assert list(await store.strands_joined_to([])) == []

    async def test_a_strand_joins_one_whose_copy_is_not_written_yet_or_no_longer(self, store: RouterStore) -> None:
        """Copies are written late: what is not there is not listed, and what joined once is found only while it does."""
        await store.write_strands([_strand(1, "c_2", "p_bob", joins="c_1")])
        assert {s.strand_id for s in await store.strands_joined_to(["c_1"])} == {"c_2"}
        assert await store.strands(["c_1"]) == {}
        assert [i async for page in store.all_strand_ids() for i in page] == ["c_2"]
        await store.write_strands([_strand(1), _strand(2, "c_2", "p_bob")])
        assert {s.strand_id for s in await store.strands_joined_to(["c_1"])} == {"c_1"}
        assert (await store.strands(["c_1"]))["c_1"].version == 1

    async def test_a_summary_is_written_only_over_the_version_that_was_read(self, store: RouterStore) -> None:
        """An older derivation in flight misses."""
        assert await store.write_summaries([_summary(1)]) == {"c_1"}
        assert await store.write_summaries([_summary(1)]) == frozenset()
        assert await store.write_summaries([_summary(3)]) == frozenset()
        assert await store.write_summaries([_summary(2, status="resolved")]) == {"c_1"}
        assert (await store.summaries(["c_1"]))["c_1"].status == "resolved"
        assert await store.summary_heads(["c_1", "c_2"]) == {"c_1": SummaryHead(2, _summary(2).contact_id)}

    async def test_conversations_are_listed_by_activity_in_pages_and_by_filter(self, store: RouterStore) -> None:
        """Interface 3: newest activity first, brand in every query, joined ones skipped."""
        await store.write_summaries([_summary(1, f"c_{n}", minute=n, channels=("email", "sms") if n % 2 else ("email",)) for n in range(5)])
        await store.write_summaries([_summary(1, "c_9", minute=9, brand="other"), _summary(1, "c_8", minute=8, joined="c_1")])
        acme = frozenset({"acme"})
        first = await store.conversations(ConversationQuery(brands=acme, limit=2))
        assert [c.conversation_id for c in first] == ["c_4", "c_3"]
        after = (first[-1].last_activity_at, first[-1].conversation_id)
        assert [c.conversation_id for c in await store.conversations(ConversationQuery(brands=acme, after=after))] == ["c_2", "c_1", "c_0"]
        assert [c.conversation_id for c in await store.conversations(ConversationQuery(channel="sms"))] == ["c_3", "c_1"]
        assert await store.conversations(ConversationQuery(channel="sm")) == []
        assert await store.conversations(ConversationQuery(status="resolved")) == []
        some = await store.conversations(ConversationQuery(ids=frozenset({"c_9", "c_8"})))
        assert [c.conversation_id for c in some] == ["c_9"]

    async def test_the_first_claim_stands(self, store: RouterStore) -> None:
        """Design 8: whoever inserted first said whose contact decides."""
        assert (await store.claim([_claim()]))["m_1"].party == "p_ann"
        assert (await store.claim([_claim("p_bob")]))["m_1"].party == "p_ann"
        assert [r.filed for r in (await store.named(["n1"]))["n1"]] == [False]
        assert [r.message_id for r in (await store.mentioning(["n0"]))["n0"]] == ["m_1"]
        assert await store.entries(["m_1"]) == {}
        assert await store.filed(["m_1"]) == frozenset()

    async def test_an_entry_is_filed_once_over_its_claim(self, store: RouterStore) -> None:
        """P2: the first value stored stands."""
        await store.claim([_claim()])
        filed = await store.file([_entry(names=("n1",))])
        again = await store.file([_entry(text="another text", names=("n1",))])
        assert filed["m_1"].text == again["m_1"].text == "text of m_1"
        assert await store.filed(["m_1", "m_2"]) == {"m_1"}
        assert (await store.claim([_claim("p_bob")]))["m_1"].filed
        assert [r.filed for r in (await store.named(["n1"]))["n1"]] == [True]

    async def test_a_message_is_found_by_the_name_that_its_id_is_made_of(self, store: RouterStore) -> None:
        """P2: and only by a name that it bears, whatever a connector made its id of."""
        plain, other = (ids.message_id("acme", "telegram", "bot", native) for native in ("7", "8"))
        name, another = (target_key("telegram", "bot", "acme", external) for external in ("7", "chat/8"))
        await store.file([_entry(plain, names=(name,)), _entry(other, names=(another,))])
        await store.file([_entry("m_sent", names=(name,))])
        found = await store.named([name, another, target_key("telegram", "bot", "acme", "8")])
        assert {n: {r.message_id for r in refs} for n, refs in found.items()} == {name: {plain, "m_sent"}, another: {other}}

    async def test_an_update_counts_only_over_the_version_below(self, store: RouterStore) -> None:
        """Edits and receipts beside each other lose nothing."""
        await store.file([_entry()])
        one = _entry(text="one", version=2, names=("learned",))
        assert await store.update_entries([one]) == {"m_1"}
        assert await store.update_entries([_entry(text="two", version=2)]) == frozenset()
        assert (await store.entries(["m_1"]))["m_1"] == one
        assert [r.message_id for r in (await store.named(["learned"]))["learned"]] == ["m_1"]

    async def test_a_timeline_reads_in_its_order_both_ways_and_in_pages(self, store: RouterStore) -> None:
        """P5: by time, order, id, whatever the arrival; over several strands; refusals and claims do not show."""
        await store.file([_entry("m_3", 2), _entry("m_1", 1, order="2"), _entry("m_2", 1, order="1"), _entry("m_4", 3, strand_id="c_2")])
        await store.file([_entry("m_5", 4, shown=False), _entry("m_6", 5, strand_id=None)])
        both = frozenset({"c_1", "c_2"})
        first = await store.entry_page(EntryPage(strands=both, limit=2))
        assert [e.message_id for e in first] == ["m_2", "m_1"]
        place = (first[-1].occurred_at, first[-1].order, first[-1].message_id)
        assert [e.message_id for e in await store.entry_page(EntryPage(strands=both, after=place))] == ["m_3", "m_4"]
        back = await store.entry_page(EntryPage(parties=frozenset({"p_ann"}), descending=True, limit=3))
        assert [e.message_id for e in back] == ["m_6", "m_4", "m_3"]

    async def test_the_latest_message_that_can_be_answered(self, store: RouterStore) -> None:
        """P4: the contact's own, with a reply address and an open window."""
        address = {"address": "ann@client.test"}
        await store.file([_entry("m_1", 1, reply_address=address), _entry("m_2", 2), _entry("m_3", 3, reply_address=address)])
        await store.file([_entry("m_4", 4, reply_address=address, reply_window_ends_at=_AT + timedelta(minutes=10))])
        stranger = Author(identity="email:eve@evil.test", evidence=Evidence.CLAIMED)
        await store.file([_entry("m_5", 5, reply_address=address, author=stranger)])
        found = await store.latest_answerable(["c_1"], _AT + timedelta(minutes=9), 5)
        assert [e.message_id for e in found] == ["m_4", "m_3", "m_1"]
        assert [e.message_id for e in await store.latest_answerable(["c_1"], _AT + timedelta(minutes=10), 1)] == ["m_3"]

    async def test_words_are_searched_within_brands(self, store: RouterStore) -> None:
        """Interface 3: `q`."""
        await store.file([_entry("m_1", text="Wo ist die Straße?"), _entry("m_2", text="straße", brand="other", strand_id="c_2")])
        assert await store.search("STRASSE", frozenset({"acme"}), 10) == ["c_1"]
        assert await store.search("straße", None, 10) == ["c_2", "c_1"]
        assert await store.search("ann@client", frozenset({"acme"}), 10) == ["c_1"]
        assert await store.search("direction", None, 10) == []

    async def test_what_was_sent_is_counted_by_where_it_stands(self, store: RouterStore) -> None:
        """P3: accepted = sent + failed + uncertain + in flight."""
        ranks = [DeliveryRank.QUEUED, DeliveryRank.SENT, DeliveryRank.READ, DeliveryRank.FAILED_RECEIPT, DeliveryRank.UNCERTAIN]
        for n, rank in enumerate(ranks):
            attempt = Attempt(number=1, rank=rank, command_id="k", queued_at=_AT)
            await store.file([_entry(f"m_{n}", direction="outbound", attempts=(attempt,))])
        counts = (await store.sent_counts(_AT, None))["support-mail"]
        assert (counts.accepted, counts.sent, counts.failed, counts.uncertain, counts.in_flight) == (5, 2, 1, 1, 1)
        assert await store.sent_counts(_AT, "another") == {}

    async def test_the_first_outcome_stands_but_for_waiting_and_dead_letters(self, store: RouterStore) -> None:
        """P3: each event ends in one recorded outcome."""
        made = IntakeRef(intake_id="i_1", index=0)

        async def after(*names: Any) -> str:
            ref = IntakeRef(intake_id="-".join(names), index=0)
            for name in names:
                await store.record([Outcome(ref, "e_1", "support-mail", "email", name, None, _AT)])
            return (await store.outcomes([ref, made]))[ref].outcome

        assert await after("waiting", "applied", "ignored") == "applied"
        assert await after("applied", "waiting") == "applied"
        assert await after("duplicate", "ignored") == "duplicate"
        assert await after("waiting", "ignored") == "ignored"
        assert await after("dead-lettered", "applied") == "applied"
        assert await after("ignored", "dead-lettered") == "ignored"
        assert len((await store.outcomes_by_event(["e_1"]))["e_1"]) == 6

    async def test_events_wait_for_their_target_once_each(self, store: RouterStore) -> None:
        """Design 4: both sides write before they look."""
        made = IntakeRef(intake_id="i_1", index=3)
        one = Waiting("target", "e_1", "event", b"{}", _AT, made, "support-mail", "email")
        other = Waiting("target", "e_0", "delivery", b"[]", _AT + timedelta(minutes=1))
        await store.wait([one, other])
        await store.wait([one])
        assert await store.waiting_for(["target", "nobody"]) == [one, other]
        assert await store.waiting_since(_AT + timedelta(seconds=1), 10) == [one]
        await store.wait_no_more([one])
        assert await store.waiting_for(["target"]) == [other]

    async def test_a_desks_reference_means_the_first_conversation_told(self, store: RouterStore) -> None:
        """Design 4."""
        await store.put_reference("slack", "C1/1.2", "c_1")
        await store.put_reference("slack", "C1/1.2", "c_2")
        assert await store.reference("slack", "C1/1.2") == "c_1"
        assert await store.reference("slack", "C1/1.3") is None

    async def test_suggestions_by_brand(self, store: RouterStore) -> None:
        """P7."""
        for n, brand in ((1, "acme"), (2, "other"), (3, "acme")):
            await store.suggest(Suggestion(link_id=f"l_{n}", brand=brand, one="a", other="b", evidence=Evidence.CLAIMED, reason="", at=_AT))
        acme = frozenset({"acme"})
        assert [s.link_id for s in await store.suggestions(acme, None, 10)] == ["l_1", "l_3"]
        assert [s.link_id for s in await store.suggestions(acme, "l_1", 10)] == ["l_3"]
        await store.drop_suggestion("l_3")
        assert [s.link_id for s in await store.suggestions(acme, None, 10)] == ["l_1"]

    async def test_snoozes_whose_time_has_come(self, store: RouterStore) -> None:
        """Design 8."""
        until = _AT + timedelta(hours=1)
        await store.write_summaries([_summary(1, status="snoozed", snoozed_until=until), _summary(1, "c_2")])
        assert await store.snoozed_until(_AT, 10) == []
        assert await store.snoozed_until(until, 10) == ["c_1"]
