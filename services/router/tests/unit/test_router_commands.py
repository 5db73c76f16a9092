"""Commands: decided once wherever they run, refused with a reason, desks that come first or last, deliveries, retries."""

from datetime import timedelta

import pytest
from router.amending import waiting_delivery
from router.commands import CommandConflictError, UnknownTargetError
from router.deriving import derive
from router.testing.desk import Desk, mail
from threadline_events import ids
from threadline_events.commands import (
    Actor,
    AddNote,
    Assign,
    ConfirmMessage,
    LinkIdentity,
    Reopen,
    Resolve,
    RetryMessage,
    SendReply,
    Snooze,
    UnlinkIdentity,
)
from threadline_events.deliveries import DeliveryUpdated
from threadline_events.evidence import Evidence
from threadline_events.inbound import Attachment, Participant
from threadline_events.timeline import parse_timeline_change
from threadline_runtime.errors import TransientError

AGENT = Actor(identity="api:key-1", display_name="Jo")


def given(desk: Desk, kind, number: int, **fields):
    return kind(command_id=f"k_{number}", brand="acme", actor=AGENT, issued_at=desk.now + timedelta(seconds=number), **fields)


async def opened(desk: Desk, name: str = "m1", author: str = "ann@client.test", **more) -> str:
    event = mail(name, author, **more)
    await desk.take(event)
    return (await desk.entry(event)).strand_id


async def test_who_hears_of_a_message_can_answer_it_at_once() -> None:
    """P7: nothing is told of a conversation that the router itself would not know yet."""

    class Quick(Desk):
        async def publish(self, records, *, then=()):
            await super().publish(records, then=then)
            if len(self.published) == len(records):  # the first that is heard of it
                strand = parse_timeline_change(records[0].value).entry.strand_id
                await self.commands.submit(given(self, SendReply, 1, conversation_id=strand, text="We look into it."))

    desk = Quick()
    await desk.take(mail("m1", "ann@client.test"))
    assert [sent.text for sent in desk.sent()] == ["We look into it."]


async def report(desk: Desk, sent, state: str, attempt: int = 1, number: int = 1, external_ids=()):
    told = DeliveryUpdated(
        message_id=sent.message_id,
        channel="email",
        account_id=sent.account_id,
        brand="acme",
        attempt=attempt,
        try_=number,
        state=state,
        external_ids=external_ids,
        reason="550 no" if state == "failed" else None,
        started_at=desk.now,
    )
    await desk.amending.take([waiting_delivery(told, desk.parts)])
    return (await desk.store.entries([sent.message_id]))[sent.message_id]


async def test_the_same_command_twice_is_one_reply_and_another_body_a_conflict():
    """P2, interface 3: Idempotency-Key."""
    desk = Desk()
    strand = await opened(desk)
    once = given(desk, SendReply, 1, conversation_id=strand, text="Hello", fingerprint="f1")
    first, second = await desk.commands.submit(once), await desk.commands.submit(once)
    await desk.commands.take(once)

    assert first == second
    assert len({m.message_id for m in desk.sent()}) == 1
    with pytest.raises(CommandConflictError):
        await desk.commands.submit(once.model_copy(update={"fingerprint": "f2"}))


async def test_another_brands_conversation_is_not_there():
    desk = Desk()
    strand = await opened(desk)

    with pytest.raises(UnknownTargetError):
        await desk.commands.submit(given(desk, AddNote, 1, conversation_id=strand, text="x").model_copy(update={"brand": "other"}))


async def test_a_resolve_over_a_message_not_read_is_refused_and_kept_out_of_sight():
    """Interface 3: 409 newer_message."""
    desk = Desk()
    strand = await opened(desk)
    read = await desk.conversation_of(mail("m1"))
    await desk.take(mail("m2", minute=5))
    entry = await desk.commands.submit(given(desk, Resolve, 1, conversation_id=strand, as_of=read.as_of))

    assert entry.result == "refused:newer_message"
    assert not entry.shown
    assert (await desk.conversation_of(mail("m1"))).status == "open"
    assert [e.kind for e in await desk.timeline(strand)] == ["message", "message"]


async def test_resolve_reopen_assign_snooze_and_wake():
    desk = Desk()
    strand = await opened(desk)
    read = await desk.conversation_of(mail("m1"))
    assert (await desk.commands.submit(given(desk, Resolve, 1, conversation_id=strand, as_of=read.as_of))).result == "done"
    assert (await desk.commands.submit(given(desk, Resolve, 2, conversation_id=strand))).result == "refused:not_open"
    assert (await desk.commands.submit(given(desk, Reopen, 3, conversation_id=strand))).result == "done"
    assert (await desk.commands.submit(given(desk, Reopen, 4, conversation_id=strand))).result == "refused:not_resolved"
    await desk.commands.submit(given(desk, Assign, 5, conversation_id=strand, assignee="jo"))
    until = desk.now + timedelta(hours=2)
    await desk.commands.submit(given(desk, Snooze, 6, conversation_id=strand, until=until))
    talk = await desk.conversation_of(mail("m1"))
    assert (talk.status, talk.assignee, talk.snoozed_until) == ("snoozed", "jo", until)
    await desk.take(mail("m2", minute=90))
    assert (await desk.conversation_of(mail("m1"))).status == "open"


async def test_a_snooze_ends_at_its_time():
    desk = Desk()
    strand = await opened(desk)
    await desk.commands.submit(given(desk, Snooze, 1, conversation_id=strand, until=desk.now + timedelta(hours=2)))
    desk.now += timedelta(hours=3)
    await desk.sweeper.sweep()

    assert (await desk.conversation_of(mail("m1"))).status == "open"


async def test_of_two_assignments_the_later_given_stands_whatever_order_they_come_in():
    desk = Desk()
    strand = await opened(desk)
    await desk.commands.take(given(desk, Assign, 2, conversation_id=strand, assignee="late"))
    await desk.commands.take(given(desk, Assign, 1, conversation_id=strand, assignee="early"))

    assert (await desk.conversation_of(mail("m1"))).assignee == "late"


async def test_states_only_rise_within_an_attempt_and_a_retry_is_the_next_one():
    """Design 8: States; P4: an uncertain send is repeated only by a person."""
    desk = Desk()
    strand = await opened(desk)
    await desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="Hello"))
    (sent,) = desk.sent()
    assert (await report(desk, sent, "uncertain")).attempts[-1].rank.state == "uncertain"
    assert (await report(desk, sent, "sending")).attempts[-1].rank.state == "uncertain"
    again = await desk.commands.submit(given(desk, RetryMessage, 2, message_id=sent.message_id))
    assert again.result == "done"
    assert (await desk.commands.submit(given(desk, RetryMessage, 3, message_id=sent.message_id))).result == "refused:not_failed"
    second = desk.sent()[-1]
    assert (second.attempt, second.mail.message_id != sent.mail.message_id) == (2, True)
    late = await report(desk, sent, "sent", attempt=1, number=2)
    assert (late.attempts[-1].number, late.attempts[-1].rank.state) == (2, "queued")
    done = await report(desk, second, "sent", attempt=2)
    assert done.attempts[-1].rank.state == "sent"


async def test_a_person_confirms_what_did_arrive():
    desk = Desk()
    strand = await opened(desk)
    await desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="Hello"))
    (sent,) = desk.sent()
    assert (await desk.commands.submit(given(desk, ConfirmMessage, 2, message_id=sent.message_id))).result == "refused:not_uncertain"
    await report(desk, sent, "uncertain")
    assert (await desk.commands.submit(given(desk, ConfirmMessage, 3, message_id=sent.message_id))).result == "done"
    stored = (await desk.store.entries([sent.message_id]))[sent.message_id]
    assert stored.attempts[-1].rank.state == "sent"


async def test_a_desks_command_waits_for_its_reference():
    """Design 4: either may come first."""
    desk = Desk()
    strand = await opened(desk)
    note = given(desk, AddNote, 1, desk_id="support-slack", desk_reference="C1/1.2", text="checked", intake_id="i_slack", intake_index=0)
    await desk.commands.take(note)
    assert [e.kind for e in await desk.timeline(strand)] == ["message"]
    await desk.commands.posted("support-slack", "C1/1.2", strand)
    await desk.commands.posted("support-slack", "C1/1.2", strand)

    assert [(e.kind, e.text) for e in await desk.timeline(strand)] == [("message", "This is m1."), ("note", "checked")]


async def test_what_waits_for_a_month_is_ignored():
    desk = Desk()
    await opened(desk)
    note = given(desk, AddNote, 1, desk_id="support-slack", desk_reference="C1/9", text="x", intake_id="i_slack", intake_index=0)
    await desk.commands.take(note)
    desk.now += timedelta(days=31)
    await desk.sweeper.sweep()

    (outcome,) = (await desk.store.outcomes_by_event(["k_1"]))["k_1"]
    assert (outcome.outcome, outcome.reason) == ("ignored", "no_target")


async def test_attachments_must_have_been_uploaded():
    desk = Desk()
    strand = await opened(desk)
    desk.uploads["ab"] = Attachment(sha256="ab", size=3, media_type="text/plain", file_name="a.txt")
    missing = await desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="x", attachments=("cd",)))
    found = await desk.commands.submit(given(desk, SendReply, 2, conversation_id=strand, text="x", attachments=("ab",)))

    assert (missing.result, found.result) == ("refused:unknown_attachment", "done")
    assert [a.file_name for a in desk.sent()[0].attachments] == ["a.txt"]
    assert await desk.store.attachment_readers("ab") == {"acme"}


async def test_a_link_reads_two_histories_together_and_an_unlink_gives_both_back():
    """P7."""
    desk = Desk()
    one = await opened(desk)
    two = await opened(desk, "m2", "ann@home.test", minute=5)
    ends = {"one": "email:ann@client.test", "other": "email:ann@home.test"}
    await desk.commands.submit(given(desk, LinkIdentity, 1, evidence=Evidence.EXPLICIT, **ends))

    assert (await desk.conversation_of(mail("m2"))).conversation_id == one
    assert [e.text for e in await desk.timeline(one)] == ["This is m1.", "This is m2."]
    await desk.commands.submit(given(desk, UnlinkIdentity, 2, **ends))
    assert [e.text for e in await desk.timeline(one)] == ["This is m1."]
    assert [e.text for e in await desk.timeline(two)] == ["This is m2."]
    assert (await desk.conversation_of(mail("m2"))).conversation_id == two
    automatic = given(desk, LinkIdentity, 3, evidence=Evidence.PROVIDER, automatic=True, **ends)
    assert (await desk.commands.submit(automatic)).result == "refused:unlinked"
    again = given(desk, LinkIdentity, 4, evidence=Evidence.EXPLICIT, **ends)
    assert (await desk.commands.submit(again)).result == "done"
    assert (await desk.conversation_of(mail("m2"))).conversation_id == one


async def test_evidence_links_by_itself_and_a_claim_is_only_suggested():
    """P7: provider and stronger."""
    desk = Desk()

    def identified(name: str, evidence: Evidence):
        said = mail(name, evidence=evidence)
        same = Participant(identity="email:ann@home.test", role="same_as")
        return said.model_copy(update={"kind": "contact.identified", "participants": (same,), "event_id": f"e_{name}"})

    claim, proof = identified("c1", Evidence.CLAIMED), identified("c2", Evidence.PROVIDER)
    await desk.take(claim)
    link = ids.link_id("acme", "email:ann@client.test", "email:ann@home.test")
    assert [s.link_id for s in await desk.store.suggestions(None, None, 10)] == [link]
    assert await desk.store.edges([link]) == {}
    await desk.take(proof)
    await desk.take(proof)
    assert (await desk.store.edges([link]))[link].edge.active
    assert len((await desk.store.edges([link]))[link].edge.history) == 1
    assert [await desk.outcome(e) for e in (claim, proof)] == [("applied", "suggested"), ("applied", None)]
    assert await desk.store.suggestions(None, None, 10) == []


async def test_nobody_resolves_over_a_mail_that_is_decided_but_not_filed_yet(monkeypatch):
    """P6: what `as_of` counts could be read; a strand's copy is written after its entries, whatever comes between."""
    desk = Desk()
    first, second = mail("one@client.test"), mail("two@client.test", minute=1, text="please cancel my order")
    await desk.take(first)
    conversation = (await desk.conversation_of(first)).conversation_id

    async def away(_):
        raise TransientError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(desk.store, "file", away)
        with pytest.raises(TransientError):
            await desk.take(second)
    await derive(desk.parts, [conversation])
    read = (await desk.store.summaries([conversation]))[conversation]
    assert len(await desk.timeline(conversation)) == 1

    answer = await desk.commands.submit(given(desk, Resolve, 9, conversation_id=conversation, as_of=read.as_of))

    assert answer.result == "refused:newer_message"
    assert (await desk.conversation_of(second)).status == "open"
