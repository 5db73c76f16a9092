"""The whole way: real mail in by Dovecot and Postfix, one timeline, the answer out, on `threadline up` as a process of its own."""

import imaplib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from threadline_cli.testing.letters import address_of, answer_to, mail, received
from threadline_cli.testing.standalone import MailAccount, Standalone, accounts_file, threadline_here
from threadline_runtime.testing.mail_world import ANN, BOB, OTHER_BRAND, SALES, SUPPORT, MailWorld
from threadline_runtime.testing.postfix import BOUNCING_DOMAIN

pytestmark = [pytest.mark.e2e, pytest.mark.integration]
ACCOUNTS = (
    MailAccount("acme-support", "acme", SUPPORT),
    MailAccount("acme-sales", "acme", SALES),
    MailAccount("globex-support", "globex", OTHER_BRAND),
)


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld) -> Iterator[Standalone]:
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, ACCOUNTS)
    with Standalone(tmp_path / "data", configuration) as running:
        yield running


def test_a_mail_becomes_a_conversation_and_the_answer_comes_back_threaded(up: Standalone, mail_world: MailWorld) -> None:
    """P1, P4: in by SMTP, out by SMTP, the customer's answer in the same conversation."""
    asked = mail(f"Ann Lee <{ANN}>", SUPPORT, "My parcel is late.")
    began = time.monotonic()
    mail_world.send(asked, ANN, [SUPPORT])
    conversation = up.conversation_with("My parcel is late.")
    print(f"from SMTP to GET /v1/conversations: {time.monotonic() - began:.3f} s")
    entry = up.timeline(conversation.conversation_id)[0]
    assert conversation.subject == "Where is my order?"
    assert conversation.status == "open"
    assert (entry.author.identity, entry.author.display_name) == (f"email:{ANN}", "Ann Lee")
    assert entry.accounts == ("acme-support",)

    began = time.monotonic()
    reply = up.reply(conversation.conversation_id, "It is on its way.", key="k-1")
    assert reply.state == "queued"
    answer = received(mail_world, ANN)
    print(f"from POST /replies to the customer's mailbox: {time.monotonic() - began:.3f} s")
    assert answer["In-Reply-To"] == asked["Message-ID"]
    assert str(answer["References"]).split()[-1] == asked["Message-ID"]
    assert answer["Subject"] == "Re: Where is my order?"
    assert address_of(answer, "From") == SUPPORT
    assert address_of(answer, "To") == ANN
    assert address_of(answer, "Reply-To").startswith("support+")
    body = answer.get_body(("plain",))
    assert body is not None
    assert "It is on its way." in body.get_content()
    up.until("the tick", lambda: any(each.state == "sent" for each in up.timeline(conversation.conversation_id)))

    # A mail's Date knows no unit below a second, and nobody answers within one.
    time.sleep(1.1)
    mail_world.send(answer_to(answer, ANN, "Thank you so much."), ANN, [address_of(answer, "Reply-To")])
    up.entry_with(conversation.conversation_id, "Thank you so much.")
    assert len(up.conversations()) == 1
    assert [each.direction for each in up.timeline(conversation.conversation_id)] == ["inbound", "outbound", "inbound"]


def test_the_same_reply_request_twice_is_sent_once(up: Standalone, mail_world: MailWorld) -> None:
    """P2, P4: an Idempotency-Key makes a reply once."""
    mail_world.send(mail(ANN, SUPPORT, "Hello?"), ANN, [SUPPORT])
    conversation = up.conversation_with("Hello?")
    first = up.reply(conversation.conversation_id, "Hi Ann.", key="same")
    again = up.reply(conversation.conversation_id, "Hi Ann.", key="same")
    assert first.message_id == again.message_id
    up.reply(conversation.conversation_id, "A second one.", key="other")
    assert len(mail_world.wait_for(ANN, 2)) == 2


def test_another_address_joins_by_the_signed_reply_address(up: Standalone, mail_world: MailWorld) -> None:
    """P7: who answers from elsewhere is a participant of the case, not a new customer's case."""
    mail_world.send(mail(ANN, SUPPORT, "Order 4711 please."), ANN, [SUPPORT])
    conversation = up.conversation_with("Order 4711 please.")
    up.reply(conversation.conversation_id, "Where to?", key="k-1")
    signed = address_of(received(mail_world, ANN), "Reply-To")
    # No threading headers at all: only the signed address says where it belongs.
    mail_world.send(mail(BOB, signed, "To my office, says Bob.", subject="the address"), BOB, [signed])
    entry = up.entry_with(conversation.conversation_id, "To my office, says Bob.")
    assert entry.author.identity == f"email:{BOB}"
    assert entry.party == up.timeline(conversation.conversation_id)[0].party
    assert len(up.conversations()) == 1


def test_a_colleagues_own_case_stays_his(up: Standalone, mail_world: MailWorld) -> None:
    """P7: Bob, who joined Ann's case, opens his own with a new mail, and Ann's case does not show it."""
    mail_world.send(mail(ANN, SUPPORT, "Ann's case."), ANN, [SUPPORT])
    hers = up.conversation_with("Ann's case.")
    up.reply(hers.conversation_id, "Answer to Ann.", key="k-1")
    answer = received(mail_world, ANN)
    mail_world.send(answer_to(answer, BOB, "Bob joins."), BOB, [address_of(answer, "Reply-To")])
    up.entry_with(hers.conversation_id, "Bob joins.")
    mail_world.send(mail(BOB, SUPPORT, "Bob's own case.", subject="My invoice"), BOB, [SUPPORT])
    his = up.conversation_with("Bob's own case.")
    assert his.conversation_id != hers.conversation_id
    assert not any("own case" in (entry.text or "") for entry in up.timeline(hers.conversation_id))
    assert [entry.text.strip() for entry in up.timeline(his.conversation_id) if entry.text] == ["Bob's own case."]


def test_the_same_mail_twice_and_in_two_mailboxes_is_one_entry_and_in_two_brands_two(up: Standalone, mail_world: MailWorld) -> None:
    """P2: one provider message is one entry, naming both accounts; brands never share."""
    same = mail(ANN, f"{SUPPORT}, {SALES}, {OTHER_BRAND}", "To everybody.")
    for _ in range(2):
        mail_world.send(same, ANN, [SUPPORT, SALES, OTHER_BRAND])
    for mailbox in (SUPPORT, SALES, OTHER_BRAND):
        mail_world.wait_for(mailbox, 2)

    def both_accounts() -> bool:
        found = [entry for each in up.conversations(brand="acme") for entry in up.timeline(each.conversation_id)]
        return bool(found) and set(found[0].accounts) == {"acme-support", "acme-sales"}

    up.until("the entry with both accounts", both_accounts)
    up.until("the other brand's entry", lambda: up.conversations(brand="globex"))
    # A mail behind the copies has passed: so the copies have passed, too.
    for mailbox in (SUPPORT, SALES, OTHER_BRAND):
        mail_world.send(mail(BOB, mailbox, f"behind, for {mailbox}", subject=f"behind {mailbox}"), BOB, [mailbox])
    up.until("what came behind", lambda: sum(len(up.timeline(each.conversation_id)) for each in up.conversations()) >= 5)
    texts = [(each.brand, (entry.text or "").strip()) for each in up.conversations() for entry in up.timeline(each.conversation_id)]
    assert sorted(texts).count(("acme", "To everybody.")) == 1
    assert sorted(texts).count(("globex", "To everybody.")) == 1


def test_a_forged_from_with_a_foreign_reply_to_gets_nothing(up: Standalone, mail_world: MailWorld) -> None:
    """P4: the answer goes to the From address, never to the Reply-To that anybody can write."""
    mail_world.send(mail(ANN, SUPPORT, "Send me my data.", Reply_To=BOB), BOB, [SUPPORT])
    conversation = up.conversation_with("Send me my data.")
    entry = up.timeline(conversation.conversation_id)[0]
    assert entry.verified is False
    up.reply(conversation.conversation_id, "Here is your data.", key="k-1")
    answer = received(mail_world, ANN)
    assert address_of(answer, "To") == ANN
    assert mail_world.dovecot.messages(BOB) == []


def test_a_mail_appended_by_doveadm_and_by_a_second_client_is_read(up: Standalone, mail_world: MailWorld) -> None:
    """P6: however a mail came into the mailbox."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(ANN, SUPPORT, "By doveadm.").as_bytes())
    up.conversation_with("By doveadm.")
    with imaplib.IMAP4("127.0.0.1", mail_world.dovecot.ports.imap) as client:
        client.login(SUPPORT, mail_world.dovecot.users[SUPPORT])
        client.append("INBOX", "", None, mail(BOB, SUPPORT, "By a second client.").as_bytes())
    up.conversation_with("By a second client.")


def test_reading_marks_and_removes_nothing(up: Standalone, mail_world: MailWorld) -> None:
    """P6: the mailbox looks as before."""
    mail_world.send(mail(ANN, SUPPORT, "Leave me unread."), ANN, [SUPPORT])
    up.conversation_with("Leave me unread.")
    assert [flags.replace("\\Recent", "").strip() for flags in mail_world.dovecot.flags(SUPPORT).values()] == [""]


def test_a_bounce_turns_the_reply_to_failed(up: Standalone, mail_world: MailWorld) -> None:
    """States: sent, then failed by a bounce, with its reason."""
    mail_world.send(mail(f"gone@{BOUNCING_DOMAIN}", SUPPORT, "Answer me if you can."), f"gone@{BOUNCING_DOMAIN}", [SUPPORT])
    conversation = up.conversation_with("Answer me if you can.")
    reply = up.reply(conversation.conversation_id, "I try.", key="k-1")

    def failed() -> str | None:
        entries = {entry.message_id: entry for entry in up.timeline(conversation.conversation_id)}
        return entries[reply.message_id].state_reason or "no reason" if entries[reply.message_id].state == "failed" else None

    assert "5." in up.until("the bounce", failed)


def test_a_bounce_that_names_no_mail_is_known_by_its_signed_envelope(up: Standalone, mail_world: MailWorld) -> None:
    """States: a server that returns nothing but its own words still turns the reply to failed."""
    mail_world.send(mail(ANN, SUPPORT, "Answer me, and my server returns it."), ANN, [SUPPORT])
    conversation = up.conversation_with("Answer me, and my server returns it.")
    reply = up.reply(conversation.conversation_id, "I try.", key="k-1")
    envelope = address_of(received(mail_world, ANN), "Return-Path")
    told = f"This message was created automatically by mail delivery software.\n\n  {ANN}\n    550 5.1.1 no such user\n"
    mail_world.send(mail("Mailer <mailer-daemon@client.test>", envelope, told, subject="Mail failed"), "", [envelope])

    def state() -> str | None:
        entries = {entry.message_id: entry for entry in up.timeline(conversation.conversation_id)}
        return "failed" if entries[reply.message_id].state == "failed" else None

    assert up.until("the bounce", state) == "failed"


def test_nothing_is_missing_after_a_kill_and_beside_a_running_up(up: Standalone, mail_world: MailWorld) -> None:
    """P1, P2, P3, P9: kill -9, more mail meanwhile, start again; each mail is there once and the audit is clean."""
    for number in range(10):
        mail_world.send(mail(ANN, SUPPORT, f"mail {number:02d}."), ANN, [SUPPORT])
    up.conversation_with("mail 00.")
    up.kill()
    for number in range(10, 20):
        mail_world.send(mail(ANN, SUPPORT, f"mail {number:02d}."), ANN, [SUPPORT])
    up.start()
    conversation = up.conversation_with("mail 19.")
    up.until("all mails", lambda: len(up.timeline(conversation.conversation_id)) == 20)
    texts = sorted((entry.text or "").strip() for entry in up.timeline(conversation.conversation_id))
    assert texts == [f"mail {number:02d}." for number in range(20)]
    audit = threadline_here("audit", "--data", str(up.data), "--config", str(up.configuration), "--json")
    assert audit.returncode == 0, audit.stderr + audit.stdout
    assert up.stop() == 0


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 600
"""Large enough to go by a spool file instead of with the mail's text."""


def test_files_travel_whole_in_both_directions(up: Standalone, mail_world: MailWorld) -> None:
    """P6: the customer's picture can be fetched, and the agent's file arrives in the customer's mailbox, byte for byte."""
    asked = mail(ANN, SUPPORT, "A picture of the damage.")
    asked.add_attachment(PICTURE, maintype="image", subtype="png", filename="Schäden.png")
    mail_world.send(asked, ANN, [SUPPORT])
    conversation = up.conversation_with("A picture of the damage.")
    (picture,) = up.timeline(conversation.conversation_id)[0].attachments
    assert (picture.file_name, picture.media_type, picture.size) == ("Schäden.png", "image/png", len(PICTURE))
    fetched = up.api.get(f"/v1/attachments/{picture.sha256}")
    assert fetched.content == PICTURE
    assert fetched.headers["content-disposition"].startswith("attachment")

    form = b"%PDF-1.7 " + bytes(range(256)) * 40
    brought = up.api.post("/v1/attachments", params={"brand": "acme"}, files={"file": ("Rückgabe.pdf", form, "application/pdf")})
    assert brought.status_code == 201, brought.text
    body = {"text": "Please fill in the form.", "attachments": [brought.json()["sha256"]]}
    accepted = up.api.post(f"/v1/conversations/{conversation.conversation_id}/replies", json=body, headers={"Idempotency-Key": "k-1"})
    assert accepted.status_code == 202, accepted.text
    (attached,) = received(mail_world, ANN).iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("Rückgabe.pdf", "application/pdf")
    assert attached.get_content() == form


ODD_MAILS = {
    "no Message-ID": b"From: ann@client.test\r\nTo: support@acme.test\r\nSubject: odd 1\r\n\r\nodd\r\n",
    "an empty Message-ID": b"From: ann@client.test\r\nMessage-ID: <>\r\nSubject: odd 2\r\n\r\nodd\r\n",
    "an unknown charset": b"From: ann@client.test\r\nMessage-ID: <odd3@client.test>\r\nSubject: odd 3\r\n"
    b"Content-Type: text/plain; charset=klingon-1\r\n\r\nodd \xe4\xf6\xfc\r\n",
    "broken MIME": b"From: ann@client.test\r\nMessage-ID: <odd4@client.test>\r\nSubject: odd 4\r\n"
    b'Content-Type: multipart/mixed; boundary="never"\r\n\r\n--other\r\n\r\nodd\r\n',
    "no author": b"Subject: odd 5\r\nMessage-ID: <odd5@client.test>\r\n\r\nodd\r\n",
    "ten thousand parts": b"From: ann@client.test\r\nMessage-ID: <odd6@client.test>\r\nSubject: odd 6\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nodd\r\n" * 10_000 + b"--b--\r\n",
    "nothing": b"\r\n",
}


def audited(*where: str, intakes: int) -> dict[str, Any] | None:
    """What the audit says of the only account, once so many intakes are in the journal."""
    audit = threadline_here("audit", *where, "--json")
    assert audit.returncode == 0
    (account,) = [json.loads(line) for line in audit.stdout.splitlines()]
    return account if account["intakes"] == intakes else None


def test_odd_mails_end_as_an_entry_or_a_rejection_and_the_mailbox_goes_on(up: Standalone, mail_world: MailWorld) -> None:
    """P3, P8: every payload has its outcome, none blocks the next."""
    for raw in ODD_MAILS.values():
        mail_world.dovecot.append(SUPPORT, "INBOX", raw)
    mail_world.send(mail(BOB, SUPPORT, "Behind the odd ones."), BOB, [SUPPORT])
    up.conversation_with("Behind the odd ones.", within=60)
    where = ("--data", str(up.data), "--config", str(up.configuration))
    account = up.until("the journal has all of them", lambda: audited(*where, intakes=len(ODD_MAILS) + 1), within=30)
    assert account["pending"] == account["missing"] == 0
    ends = account["outcomes"]
    print(f"odd mails: {ends}")
    assert sum(ends.values()) == len(ODD_MAILS) + 1
    assert {name.partition("(")[0] for name in ends} <= {"stored", "rejected"}
    assert ends["stored"] >= 6
