"""Attacks on where replies go and on what decides: strangers, other accounts and brands, and what comes at the wrong moment."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from router.amending import waiting_delivery
from router.changing import Alter, Changer
from router.closing import attend
from router.domain.documents import Attend, Mark
from router.domain.policy import Policies
from router.outbox import Task
from router.store.port import Outcome
from router.testing.desk import Desk, mail
from threadline_events import ids
from threadline_events.commands import Actor, AddNote, Assign, LinkIdentity, RetryMessage, SendReply, Snooze
from threadline_events.deliveries import DeliveryUpdated
from threadline_events.evidence import Evidence
from threadline_events.inbound import Attachment, Author, InboundEvent, Participant, Relations
from threadline_events.keys import desk_key
from threadline_runtime.errors import TransientError

AGENT = Actor(identity="api:key-1", display_name="Jo")


def given(desk: Desk, kind, number: int, **fields):
    return kind(command_id=f"k_{number}", brand="acme", actor=AGENT, issued_at=desk.now + timedelta(seconds=number), **fields)


async def strand_of(desk: Desk, event: InboundEvent) -> str:
    return (await desk.entry(event)).strand_id


def chat(number: int, text: str | None, *, account: str = "bot", attachments: tuple[Attachment, ...] = ()) -> InboundEvent:
    """A chat message of one customer."""
    base = mail(f"chat{number}", account=account, minute=0)
    changed = {
        "channel": "telegram",
        "event_id": ids.event_id("telegram", account, str(number), "message.received"),
        "message_id": ids.message_id("acme", "telegram", account, str(number)),
        "author": Author(identity="telegram:7", evidence=Evidence.PROVIDER),
        "external_id": f"7/{number}",
        "native_thread": "telegram:7",
        "subject": None,
        "text": text,
        "reply_text": text,
        "reply_address": {"chat": 7},
        "attachments": attachments,
    }
    return base.model_copy(update=changed)


# ---- where replies go
async def test_a_stranger_who_floods_a_conversation_is_never_answered_instead_of_the_customer():
    """P4: with a leaked reply address anybody can take part; what an agent writes without naming a message is the customer's."""
    desk = Desk()
    first = mail("m1")
    await desk.take(first)
    strand = await strand_of(desk, first)
    leaked = desk.signer.reply_address(desk.accounts["support-mail"], strand)
    await desk.take(
        *(
            mail(f"x{n}", "mallory@evil.test", minute=n, text=f"word{chr(97 + n // 26)}{chr(97 + n % 26)}", reply_tokens=(leaked,))
            for n in range(1, 61)
        )
    )

    reply = await desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="Your refund"))

    assert reply.answers == first.message_id
    assert desk.sent()[0].reply_address["address"] == "ann@client.test"


async def test_who_only_takes_part_is_answered_by_name_or_not_at_all():
    desk = Desk()
    first = mail("m1")
    await desk.take(first.model_copy(update={"reply_address": None}))
    strand = await strand_of(desk, first)
    leaked = desk.signer.reply_address(desk.accounts["support-mail"], strand)
    other = mail("x1", "mallory@evil.test", minute=1, reply_tokens=(leaked,))
    await desk.take(other)

    silent = await desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="To whom?"))
    named = await desk.commands.submit(given(desk, SendReply, 2, conversation_id=strand, text="To you", in_reply_to=other.message_id))

    assert silent.result == "refused:nothing_to_answer"
    assert named.result == "done"
    assert [m.reply_address["address"] for m in desk.sent()] == ["mallory@evil.test"]


async def test_a_chat_is_answered_from_the_account_it_came_to():
    """P4: an address of a chat means somebody else under another bot; only mail may leave from a sister account."""
    desk = Desk()
    accounts = {a: desk.accounts["support-mail"].__class__(a, "telegram", "acme") for a in ("bot", "other-bot")}
    desk.parts.policies.accounts.update(accounts)
    said = chat(1, "hello")
    await desk.take(said)
    strand = await strand_of(desk, said)

    wrong = await desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="Hi", account_id="other-bot"))
    right = await desk.commands.submit(given(desk, SendReply, 2, conversation_id=strand, text="Hi", account_id="bot"))

    assert (wrong.result, right.result) == ("refused:unknown_account", "done")
    assert [m.account_id for m in desk.sent()] == ["bot"]


async def test_an_account_that_went_to_another_brand_sends_nothing_again():
    """P4, brands kept apart: a retry must not leave under another brand's name."""
    desk = Desk()
    first = mail("m1")
    await desk.take(first)
    reply = await desk.commands.submit(given(desk, SendReply, 1, conversation_id=await strand_of(desk, first), text="Hi"))
    failed = DeliveryUpdated(
        message_id=reply.message_id,
        channel="email",
        account_id="support-mail",
        brand="acme",
        attempt=1,
        try_=1,
        state="failed",
        started_at=desk.now,
    )
    await desk.amending.take([waiting_delivery(failed, desk.parts)])
    moved = desk.accounts["support-mail"].__class__("support-mail", "email", "other", "support@acme.test")
    assert isinstance(desk.parts.policies, Policies)
    desk.parts.policies.accounts["support-mail"] = moved

    again = await desk.commands.submit(given(desk, RetryMessage, 2, message_id=reply.message_id))

    assert again.result == "refused:unknown_account"
    assert {m.attempt for m in desk.sent()} == {1}


# ---- what comes at the wrong moment
async def test_a_message_that_came_while_the_agent_snoozed_is_not_hidden():
    """P6: the snooze stands for what the agent had read, however late it is carried out."""
    desk = Desk()
    first, second = mail("m1"), mail("m2", minute=5)
    await desk.take(first)
    read = await desk.conversation_of(first)
    await desk.take(second)

    until = desk.now + timedelta(days=3)
    await desk.commands.submit(given(desk, Snooze, 1, conversation_id=read.conversation_id, until=until, as_of=read.as_of))
    assert (await desk.conversation_of(first)).status == "open"

    now = await desk.conversation_of(first)
    await desk.commands.submit(given(desk, Snooze, 2, conversation_id=read.conversation_id, until=until, as_of=now.as_of))
    assert (await desk.conversation_of(first)).status == "snoozed"


async def test_a_change_set_aside_and_brought_again_is_applied():
    """P3: dead-lettered gives way to any other outcome; redriving loses nothing."""
    desk = Desk()
    first = mail("m1")
    await desk.take(first)
    edit = first.model_copy(
        update={
            "kind": "message.edited",
            "event_id": "e_edit",
            "intake_id": "i_edit",
            "revision": 1,
            "text": "Corrected",
            "relates_to": Relations(edits=first.external_id),
        }
    )
    made = (await desk.entry(first)).made.model_copy(update={"intake_id": "i_edit"})
    await desk.store.record([Outcome(made, "e_edit", "support-mail", "email", "dead-lettered", "ValueError", desk.now)])

    await desk.take(edit)

    assert [e.text for e in (await desk.entry(first)).edits] == ["Corrected"]
    assert await desk.outcome(edit) == ("applied", None)


async def test_a_duplicate_set_aside_and_brought_again_is_a_duplicate():
    desk = Desk()
    first, again = mail("m1"), mail("m1", account="sales-mail", intake="i_again")
    await desk.take(first)
    made = (await desk.entry(first)).made.model_copy(update={"intake_id": "i_again"})
    await desk.store.record([Outcome(made, again.event_id, "sales-mail", "email", "dead-lettered", "ValueError", desk.now)])

    await desk.take(again)

    assert await desk.outcome(again) == ("duplicate", None)
    assert (await desk.entry(first)).accounts == ("support-mail", "sales-mail")


async def test_a_desks_command_that_cannot_be_does_not_hold_up_the_others():
    """P8: what waited behind it under the same reference is decided, and nothing waits for ever."""
    desk = Desk()
    first = mail("m1")
    await desk.take(first)
    under = {"desk_id": "slack", "desk_reference": "C1/1", "intake_index": 0}
    foreign = given(desk, AddNote, 1, text="wrong brand", intake_id="i_1", **under).model_copy(update={"brand": "other"})
    right = given(desk, AddNote, 2, text="right", intake_id="i_2", **under)
    await desk.commands.take(foreign)
    await desk.commands.take(right)

    await desk.commands.posted("slack", "C1/1", await strand_of(desk, first))
    await desk.commands.posted("slack", "C1/1", await strand_of(desk, first))

    (entry,) = (await desk.store.entries([ids.command_entry_id("k_2")])).values()
    assert (entry.text, entry.result) == ("right", "done")
    told = (await desk.store.outcomes_by_event(["k_1"]))["k_1"]
    assert [(o.outcome, o.reason) for o in told] == [("ignored", "unknown_target")]
    assert await desk.store.waiting_for([desk_key("slack", "C1/1")]) == []


async def test_the_same_command_under_another_strand_of_its_conversation_is_decided_once():
    """P2: an id that joined meanwhile names the same conversation, but another contact must not decide again."""
    desk = Desk()
    first, second = mail("m1"), mail("m2", "ann@home.test", minute=1)
    await desk.take(first)
    await desk.take(second)
    await desk.commands.submit(
        given(desk, LinkIdentity, 1, one="email:ann@client.test", other="email:ann@home.test", evidence=Evidence.EXPLICIT)
    )
    strand = await strand_of(desk, second)
    assert (await desk.conversation_of(second)).conversation_id != strand

    once = given(desk, Assign, 2, conversation_id=strand, assignee="Jo")
    assert (await desk.commands.submit(once)).result == "done"
    assert (await desk.conversation_of(second)).assignee == "Jo"


# ---- what grows
async def test_a_message_brought_a_hundred_times_names_twenty_intakes():
    """Design 7: the first twenty; the rest have their outcome."""
    desk = Desk()
    first = mail("m1")
    await desk.take(first, *(mail("m1", intake=f"i_{n}") for n in range(100)))

    assert len((await desk.entry(first)).intakes) == 20
    assert await desk.outcome(mail("m1", intake="i_99")) == ("duplicate", None)


async def test_saying_again_who_somebody_is_costs_nothing():
    """A provider says it with every message; the link's history keeps what changed something."""
    desk = Desk()
    same = (Participant(identity="email:ann@home.test", role="same_as"),)

    def identified(n: int) -> InboundEvent:
        said = mail(f"id{n}", evidence=Evidence.PROVIDER)
        return said.model_copy(update={"kind": "contact.identified", "participants": same, "event_id": f"e_{n}"})

    await desk.take(identified(1), identified(2), identified(3))
    link = ids.link_id("acme", "email:ann@client.test", "email:ann@home.test")
    edge = (await desk.store.edges([link]))[link].edge
    assert (edge.active, len(edge.history)) == (True, 1)
    assert await desk.outcome(identified(3)) == ("applied", None)


@pytest.mark.parametrize("texts", [(None,) * 8, tuple("12345678"), ("👍", "❤", "🎉", "🙏", "👋", "😀", "🥳", "🌻")])
async def test_pictures_numbers_and_signs_are_no_loop(texts: tuple[str | None, ...]):
    """A customer may send eight photos in a minute; each counts, so that none is resolved over unseen."""
    desk = Desk()
    said = [chat(n, text, attachments=(Attachment(sha256=f"{n:064x}"),) if text is None else ()) for n, text in enumerate(texts)]
    await desk.take(*said)

    assert [(await desk.entry(one)).inbound_seq for one in said] == list(range(1, 9))


# ---- what cannot be carried out
async def test_an_outbox_that_cannot_be_carried_out_holds_up_no_other(monkeypatch: pytest.MonkeyPatch):
    """P8: the sweeper goes on with the next document, and goes on sweeping."""
    desk = Desk()
    monkeypatch.setattr(desk.outbox, "perform", _not_now)
    for name, author in (("m1", "ann@client.test"), ("m2", "bob@client.test")):
        with pytest.raises(TransientError):
            await desk.take(mail(name, author))
    monkeypatch.undo()
    poison = ids.contact_id("acme", "email:ann@client.test")
    perform = desk.outbox.perform

    async def perform_but_one(tasks: Sequence[Task]) -> None:
        if any(task.owner == poison for task in tasks):
            raise ValueError("nobody knows why")
        await perform(tasks)

    monkeypatch.setattr(desk.outbox, "perform", perform_but_one)
    desk.now += timedelta(minutes=2)
    await desk.sweeper.sweep()

    assert await desk.store.entries([mail("m2", "bob@client.test").message_id])
    assert [one.owner for one in await desk.store.owing(desk.now, 10)] == [poison]


async def _not_now(_: object) -> None:
    raise TransientError("the store is away")


async def test_an_assignment_follows_a_conversation_that_joins_another_meanwhile():
    """Interface 3: what stands in a conversation is found where it reads now."""
    desk = Desk()
    first, second = mail("m1"), mail("m2", "ann@home.test", minute=1)
    await desk.take(first)
    await desk.take(second)
    strand = await strand_of(desk, second)
    link = given(desk, LinkIdentity, 1, one="email:ann@client.test", other="email:ann@home.test", evidence=Evidence.EXPLICIT)
    changer = Changer(desk.parts, desk.outbox._carry_copies, desk.outbox._carry_own)
    calls: list[str] = []

    async def change(owner: str, strand_id: str, alter: Alter) -> bool:
        calls.append(strand_id)
        if len(calls) == 1:
            await desk.commands.submit(link)
        return await changer.change(owner, strand_id, alter)

    step = Attend(conversation_id=strand, mark=Mark(at=desk.now, command_id="k"), what="assign", assignee="Jo")
    assert await attend(desk.parts, change, step, (await desk.entry(second)).party) == "done"
    assert calls == [strand, await strand_of(desk, first)]
    await desk.linking.handle(
        given(desk, LinkIdentity, 3, one="email:ann@client.test", other="email:ann@home.test", evidence=Evidence.EXPLICIT)
    )
    assert (await desk.conversation_of(second)).assignee == "Jo"
