"""P2, P5: edits, deletions, reactions, receipts and reports make the same entry in whatever order and however often they come."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from router.domain.amendments import amend_by_delivery, amend_by_event
from router.domain.documents import Attempt, EntryDocument
from router.domain.views import entry_view
from router.testing.desk import mail
from threadline_events.deliveries import DeliveryUpdated
from threadline_events.inbound import Author, InboundEvent, Reaction, Receipt, Relations
from threadline_events.states import DeliveryRank

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
ATTEMPTS = tuple(Attempt(number=n, rank=DeliveryRank.QUEUED, command_id=f"k{n}", queued_at=AT) for n in (1, 2))
ENTRY = EntryDocument(
    message_id="m_1",
    brand="acme",
    party="p_ann",
    party_identity="email:ann@client.test",
    strand_id="c_1",
    direction="outbound",
    channel="email",
    account_id="support-mail",
    author=Author(identity="api:key-1", role="agent"),
    occurred_at=AT,
    received_at=AT,
    text="as written first",
    attempts=ATTEMPTS,
)
MINUTES = st.integers(0, 5)


def said(kind: str, minute: int, **more) -> InboundEvent:
    return mail("x", minute=minute).model_copy(update={"kind": kind, **more})


edits = st.builds(lambda r: said("message.edited", r, revision=r, text=f"revision {r}"), st.integers(1, 4))
deletions = st.builds(lambda m: said("message.deleted", m), MINUTES)
reactions = st.builds(
    lambda m, who, on: said(
        "reaction.changed", m, author=Author(identity=who), relates_to=Relations(reaction=Reaction(emoji=":+1:", on=on))
    ),
    MINUTES,
    st.sampled_from(["a", "b"]),
    st.booleans(),
)
receipts = st.builds(
    lambda status: said("receipt.received", 1, relates_to=Relations(receipt=Receipt(of="x", status=status, reason="why"))),
    st.sampled_from(["sent", "failed", "delivered", "read"]),
)
reports = st.builds(
    lambda attempt, number, state: DeliveryUpdated(
        message_id="m_1",
        channel="email",
        account_id="support-mail",
        brand="acme",
        attempt=attempt,
        try_=number,
        state=state,
        reason=state,
        started_at=AT + timedelta(minutes=number),
    ),
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from(["sending", "uncertain", "failed", "sent"]),
)


def after(changes) -> EntryDocument:
    entry = ENTRY
    for change in changes:
        now = amend_by_event(entry, change, 1) if isinstance(change, InboundEvent) else amend_by_delivery(entry, change)
        entry = now or entry
    return entry


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_order_and_repetition_do_not_matter(data):
    changes = data.draw(st.lists(st.one_of(edits, deletions, reactions, receipts, reports), max_size=8))
    shuffled = data.draw(
        st.permutations(changes + data.draw(st.lists(st.sampled_from(changes or [said("message.deleted", 1)]), max_size=3)))
    )
    wanted = after(changes or shuffled)

    seen = after(shuffled)
    assert entry_view(seen).model_copy(update={"state_reason": None}) == entry_view(wanted).model_copy(update={"state_reason": None})
    assert [a.rank for a in seen.attempts] == [a.rank for a in wanted.attempts]
    assert seen.edits == wanted.edits


def test_a_deletion_wins_over_a_later_edit_and_all_revisions_are_kept():
    """P6: nothing is thrown away."""
    entry = after([said("message.deleted", 1), said("message.edited", 5, revision=2, text="two"), said("message.edited", 4, revision=1)])

    assert entry_view(entry).text is None
    assert [e.revision for e in entry.edits] == [1, 2]
    assert entry.text == "as written first"


def test_the_highest_revision_shows():
    assert (
        entry_view(after([said("message.edited", 5, revision=2, text="two"), said("message.edited", 9, revision=1, text="one")])).text
        == "two"
    )


def test_a_receipt_for_an_older_attempt_does_not_touch_the_newer():
    entry = after([said("receipt.received", 1, relates_to=Relations(receipt=Receipt(of="x", status="failed")))])

    assert [a.rank.state for a in entry.attempts] == ["failed", "queued"]
