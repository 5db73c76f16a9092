"""Mail in: threading by trust, participants, late parents, duplicates, brands kept apart, automatic mail, forged senders."""

from datetime import timedelta

from router.domain.documents import Claim, Why
from router.testing.desk import Desk, mail
from threadline_events import ids
from threadline_events.commands import Actor, Resolve, SendReply
from threadline_events.evidence import Evidence
from threadline_events.inbound import Bounce, Receipt, Relations

AGENT = Actor(identity="api:key-1", display_name="Jo")


async def reply(desk: Desk, conversation_id: str, number: int = 1, **more):
    command = SendReply(
        command_id=f"k_{number}", brand="acme", conversation_id=conversation_id, actor=AGENT, issued_at=desk.now, text="On its way.", **more
    )
    return await desk.commands.submit(command)


async def resolve(desk: Desk, conversation, number: int = 9):
    command = Resolve(
        command_id=f"k_{number}",
        brand="acme",
        conversation_id=conversation.conversation_id,
        actor=AGENT,
        issued_at=desk.now,
        as_of=conversation.as_of,
    )
    return await desk.commands.submit(command)


async def test_two_mails_of_one_customer_are_one_conversation():
    """P2, P5."""
    desk = Desk()
    await desk.take(mail("m2", minute=2), mail("m1", minute=1))

    talk = await desk.conversation_of(mail("m1", minute=1))
    assert [e.text for e in await desk.timeline(talk.conversation_id)] == ["This is m1.", "This is m2."]
    assert (talk.status, talk.channels, talk.brand) == ("open", ("email",), "acme")


async def test_the_same_mail_in_two_mailboxes_is_one_entry_naming_both():
    """P2: and the reply leaves from the one in To, though the other came first."""
    desk = Desk()
    both = {"to": "support@acme.test", "cc": "sales@acme.test"}
    first, second = mail("m1", account="sales-mail", intake="i_1", **both), mail("m1", account="support-mail", intake="i_2", **both)
    await desk.take(first)
    await desk.take(second)
    await desk.take(second)

    entry = await desk.entry(first)
    assert entry.accounts == ("sales-mail", "support-mail")
    assert await desk.outcome(second) == ("duplicate", None)
    assert entry.version == 2
    await reply(desk, entry.strand_id)
    assert [m.account_id for m in desk.sent()] == ["support-mail"]


async def test_in_two_brands_it_is_two_entries():
    """Brands never cross."""
    desk = Desk()
    one, other = mail("m1"), mail("m1", brand="other", account="other-mail", to="help@other.test", intake="i_2")
    await desk.take(one, other)

    assert (await desk.entry(one)).party != (await desk.entry(other)).party
    assert (await desk.conversation_of(other)).brand == "other"


async def test_a_colleagues_answer_joins_and_his_own_case_stays_his():
    """P7: a participant sees one conversation of Ann's; what he writes himself is his."""
    desk = Desk()
    question, own = mail("m1"), mail("m3", "bob@client.test", minute=2)
    answer = mail("m2", "bob@client.test", minute=1, answers="m1@client.test")
    await desk.take(question, answer, own)

    assert (await desk.entry(answer)).strand_id == (await desk.entry(question)).strand_id
    assert (await desk.entry(answer)).party == ids.contact_id("acme", "email:ann@client.test")
    assert (await desk.entry(own)).party == ids.contact_id("acme", "email:bob@client.test")
    assert (await desk.entry(own)).strand_id != (await desk.entry(question)).strand_id


async def test_a_parent_that_comes_after_its_reply_is_filed_in_the_replys_strand():
    desk = Desk()
    answer, question = mail("m2", "bob@client.test", answers="m1@client.test"), mail("m1", minute=1)
    await desk.take(answer)
    await desk.take(question)

    assert (await desk.entry(question)).strand_id == (await desk.entry(answer)).strand_id
    assert [w.rule for w in (await desk.entry(question)).why if w.decided] == ["is the parent of an earlier mail", "active strand"]


async def test_a_reply_goes_back_threaded_and_signed_and_its_answer_comes_home():
    """P4: even from another address, and even where References are lost, by the signed reply address."""
    desk = Desk()
    question = mail("m1", references=("m0@client.test",))
    await desk.take(question)
    entry = await reply(desk, (await desk.entry(question)).strand_id)
    (sent,) = desk.sent()

    assert (entry.direction, entry.attempts[-1].rank.state, entry.answers) == ("outbound", "queued", question.message_id)
    assert sent.reply_address["address"] == "ann@client.test"
    assert sent.subject == "Re: Where is my order?"
    assert sent.in_reply_to.external_id == "m1@client.test"
    assert sent.in_reply_to.references == ("m0@client.test", "m1@client.test")
    assert sent.quoted.text == "This is m1."
    answer = mail("m2", "ann@home.test", minute=5, reply_tokens=(sent.mail.reply_to,))
    by_id = mail("m3", minute=6, answers=sent.mail.message_id)
    await desk.take(answer, by_id)
    assert {(await desk.entry(e)).strand_id for e in (answer, by_id)} == {(await desk.entry(question)).strand_id}
    assert (await desk.entry(answer)).why[0].rule == "signed reply address"
    assert (await desk.entry(by_id)).why[0].rule == "answers a message we sent"


async def test_another_brands_token_is_ignored_and_explained():
    """P7."""
    desk = Desk()
    question = mail("m1")
    await desk.take(question)
    token = desk.signer.reply_address(desk.accounts["support-mail"], (await desk.entry(question)).strand_id)
    stranger = mail("m2", "eve@evil.test", brand="other", account="other-mail", to="help@other.test", reply_tokens=(token,))
    await desk.take(stranger)

    assert (await desk.entry(stranger)).party == ids.contact_id("other", "email:eve@evil.test")
    assert (await desk.entry(stranger)).why[0].rule == "other brand ignored"


async def test_a_forged_sender_with_a_foreign_reply_to_gets_nothing():
    """P7: the answer goes to the address that is claimed, never to where the forger asks."""
    desk = Desk()
    forged = mail("m1", reply_to="eve@evil.test")
    await desk.take(forged)
    entry = await reply(desk, (await desk.entry(forged)).strand_id)

    assert [m.reply_address["address"] for m in desk.sent()] == ["ann@client.test"]
    assert entry.result == "done"
    assert not [e for e in await desk.timeline(entry.strand_id) if e.verified and e.direction == "inbound"]


async def test_a_proven_senders_reply_to_is_followed():
    desk = Desk()
    proven = mail("m1", reply_to="ann@home.test", evidence=Evidence.SIGNED)
    await desk.take(proven)
    await reply(desk, (await desk.entry(proven)).strand_id)

    assert [m.reply_address["address"] for m in desk.sent()] == ["ann@home.test"]


async def test_customers_of_a_website_form_are_told_apart_by_reply_to():
    """P7: all its mails are From the website; each customer has an own case."""
    desk = Desk()
    ann = mail("m1", "www@acme.test", account="form-mail", reply_to="ann@client.test")
    bob = mail("m2", "www@acme.test", account="form-mail", reply_to="bob@client.test")
    await desk.take(ann, bob)

    assert (await desk.entry(ann)).party == ids.contact_id("acme", "email:ann@client.test")
    assert (await desk.entry(ann)).strand_id != (await desk.entry(bob)).strand_id
    await reply(desk, (await desk.entry(bob)).strand_id)
    assert [m.reply_address["address"] for m in desk.sent()] == ["bob@client.test"]


async def test_our_own_mail_is_known_by_its_signed_message_id_only():
    desk = Desk()
    question = mail("m1")
    await desk.take(question)
    await reply(desk, (await desk.entry(question)).strand_id)
    copy = mail("copy", "support@acme.test").model_copy(update={"external_id": desk.sent()[0].mail.message_id})
    claims = mail("m2", "support@acme.test", minute=3)
    await desk.take(copy, claims)

    assert await desk.outcome(copy) == ("ignored", "our own message")
    assert (await desk.entry(claims)).direction == "inbound"


async def test_automatic_mail_neither_opens_nor_reopens():
    """Design 8: it is filed in the active strand, else in none, and read in the person's timeline."""
    desk = Desk()
    question = mail("m1")
    alone = mail("v0", "zoe@client.test", is_auto_reply=True)
    await desk.take(question, alone)
    await desk.take(mail("v1", minute=1, answers="m1@client.test", is_auto_reply=True))
    before = await desk.conversation_of(question)
    await resolve(desk, before)
    late = mail("v2", minute=5, answers="m1@client.test", is_auto_reply=True)
    await desk.take(late)

    assert (await desk.entry(alone)).strand_id is None
    assert (await desk.entry(late)).strand_id is None
    assert (await desk.conversation_of(question)).status == "resolved"
    assert before.last_activity_at == question.received_at


async def test_a_bounce_moves_the_entry_to_failed_with_its_reason():
    """Design 5: two events, the mail and the receipt; the envelope sender names the attempt."""
    desk = Desk()
    question = mail("m1")
    await desk.take(question)
    entry = await reply(desk, (await desk.entry(question)).strand_id)
    (sent,) = desk.sent()
    bounce = mail("b1", "mailer-daemon@mx.client.test", minute=9, is_auto_reply=True, reply_tokens=(sent.mail.envelope_sender,)).model_copy(
        update={"intake_count": 2}
    )
    bounce = bounce.model_copy(
        update={"hints": bounce.hints.model_copy(update={"bounce": Bounce(class_="hard", original_external_id="rewritten@relay.test")})}
    )
    receipt = bounce.model_copy(
        update={
            "event_id": "e_receipt",
            "intake_index": 1,
            "kind": "receipt.received",
            "relates_to": Relations(receipt=Receipt(of="rewritten@relay.test", status="failed", reason="5.1.1 user unknown")),
        }
    )
    await desk.take(bounce, receipt)

    stored = (await desk.store.entries([entry.message_id]))[entry.message_id]
    assert (stored.attempts[-1].rank.state, stored.attempts[-1].reason) == ("failed", "5.1.1 user unknown")
    assert (await desk.entry(bounce)).party == (await desk.entry(question)).party
    assert await desk.outcome(receipt) == ("applied", None)


def failure_told_by(bounce, intake: str | None = None):
    """The receipt of a bounce that returned no Message-ID."""
    told = Relations(receipt=Receipt(status="failed", reason="5.1.1 user unknown"))
    more = {"event_id": "e_receipt", "intake_index": 1, "kind": "receipt.received", "relates_to": told}
    return bounce.model_copy(update={**more, "intake_id": intake or bounce.intake_id})


async def test_a_bounce_without_a_message_id_finds_its_mail_by_the_signed_envelope_sender():
    """P4: what came back is known by what we signed, whatever the bounce forgot to say."""
    desk = Desk()
    question = mail("m1")
    await desk.take(question)
    entry = await reply(desk, (await desk.entry(question)).strand_id)
    (sent,) = desk.sent()
    bounce = mail("b1", "mailer-daemon@mx.client.test", minute=9, is_auto_reply=True, reply_tokens=(sent.mail.envelope_sender,))
    receipt = failure_told_by(bounce)
    await desk.take(bounce, receipt)

    stored = (await desk.store.entries([entry.message_id]))[entry.message_id]
    assert (stored.attempts[-1].rank.state, stored.attempts[-1].reason) == ("failed", "5.1.1 user unknown")
    assert await desk.outcome(receipt) == ("applied", None)


async def test_a_receipt_that_names_nothing_is_ignored_and_waits_for_nothing():
    """P3: backscatter ends in a recorded outcome, touches no entry, and its copy in another mailbox is a duplicate."""
    desk = Desk()
    bounce = mail("b1", "mailer-daemon@mx.client.test", is_auto_reply=True, reply_tokens=("support+bforged@acme.test",))
    receipt = failure_told_by(bounce)
    await desk.take(bounce, receipt)
    before = await desk.entry(bounce)
    copy = failure_told_by(bounce, "i_copy")
    await desk.take(receipt, copy)

    assert await desk.outcome(receipt) == ("ignored", "names_nothing")
    assert await desk.outcome(copy) == ("duplicate", None)
    assert await desk.entry(bounce) == before
    assert await desk.store.waiting_since(desk.now + timedelta(days=1), 10) == []


async def test_a_customer_who_writes_after_a_resolve_reopens_within_the_brands_days():
    desk = Desk(reopen_within=timedelta(days=14))
    question = mail("m1")
    await desk.take(question)
    await resolve(desk, await desk.conversation_of(question))
    soon, late = mail("m2", minute=60 * 24), mail("m3", minute=60 * 24 * 40)
    await desk.take(soon)
    assert (await desk.entry(soon)).strand_id == (await desk.entry(question)).strand_id
    desk.now += timedelta(days=2)
    await resolve(desk, await desk.conversation_of(soon), 10)
    await desk.take(late)

    assert (await desk.entry(late)).strand_id != (await desk.entry(question)).strand_id
    assert (await desk.conversation_of(late)).previous == (await desk.entry(question)).strand_id


async def test_machines_that_answer_each_other_are_stopped_by_rate():
    """Design 8: the sixth near-equal body in ten minutes no longer opens or counts."""
    desk = Desk()
    mails = [mail(f"t{i}", "robot@crm.test", minute=i, text=f"Ticket {i}00{i} was received. Thank you!") for i in range(7)]
    for one in mails:
        await desk.take(one)

    counted = [(await desk.entry(one)).inbound_seq for one in mails]
    assert counted == [1, 2, 3, 4, 5, None, None]


async def test_a_participant_is_not_answered_instead_of_the_customer():
    """P4: the default is the customer's own latest message."""
    desk = Desk()
    await desk.take(mail("m1"), mail("m2", "bob@client.test", minute=5, answers="m1@client.test"))
    strand_id = (await desk.entry(mail("m1"))).strand_id
    await reply(desk, strand_id)
    await reply(desk, strand_id, 2, in_reply_to=mail("m2").message_id)

    assert [m.reply_address["address"] for m in desk.sent()] == ["ann@client.test", "bob@client.test"]


async def test_the_claim_that_stands_says_whose_contact_decides():
    """Design 8: whoever inserts first; a worker that comes second goes by it, and explain tells the rule it was placed by."""
    desk = Desk()
    event = mail("m1", "bob@client.test")
    ann = ids.contact_id("acme", "email:ann@client.test")
    why = (Why(rule="signed reply address", decided=True),)
    await desk.store.claim([Claim(message_id=event.message_id, brand="acme", party=ann, party_identity="email:ann@client.test", why=why)])
    await desk.take(event)

    assert (await desk.entry(event)).party == ann
    assert [w.rule for w in (await desk.entry(event)).why] == ["signed reply address", "opened a new strand"]
    assert (await desk.store.contacts([ann]))[ann].contact.identity == "email:ann@client.test"


async def test_a_reused_message_id_is_another_entry():
    """Design 5: content counts."""
    desk = Desk()
    await desk.take(mail("m1", text="one"), mail("m1", text="two", intake="i_2", minute=1))

    strand = (await desk.entry(mail("m1", text="one"))).strand_id
    assert [e.text for e in await desk.timeline(strand)] == ["one", "two"]


async def test_a_colleague_with_the_signed_address_joins_unverified_and_is_named():
    """P7: a token proves that the address was seen, not who writes."""
    desk = Desk()
    await desk.take(mail("m1"))
    strand = (await desk.entry(mail("m1"))).strand_id
    token = desk.signer.reply_address(desk.accounts["support-mail"], strand)
    await desk.take(mail("m2", "eve@evil.test", minute=2, reply_tokens=(token,)))

    shown = await desk.timeline(strand)
    assert [(e.author.identity, e.verified) for e in shown] == [("email:ann@client.test", False), ("email:eve@evil.test", False)]
    await reply(desk, strand)
    assert [m.reply_address["address"] for m in desk.sent()] == ["ann@client.test"]
    assert desk.sent()[0].quoted.text == "This is m1."
