"""The real mail servers that other tests stand on do what those tests believe of them."""

from __future__ import annotations

import imaplib
import smtplib
import time
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from threadline_runtime.testing.mail_world import ANN, BOB, OTHER_BRAND, SUPPORT, USERS, MailWorld
from threadline_runtime.testing.ports import LOOPBACK
from threadline_runtime.testing.postfix import BOUNCING_DOMAIN
from threadline_runtime.testing.processes import is_listening

pytestmark = pytest.mark.integration


def a_mail(sender: str, recipient: str, subject: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, recipient, subject
    mail["Message-ID"] = f"<{subject.replace(' ', '-')}@client.test>"
    mail.set_content("Where is my order?\n")
    return mail


def subjects(mails: list[bytes]) -> list[str]:
    return [str(message_from_bytes(mail)["Subject"]) for mail in mails]


def imap(world: MailWorld, user: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4(LOOPBACK, world.dovecot.ports.imap, timeout=10)
    client.login(user, USERS[user])
    return client


def test_a_mail_sent_by_smtp_lands_in_the_recipients_mailbox_and_nowhere_else(mail_world: MailWorld) -> None:
    mail_world.send(a_mail(ANN, SUPPORT, "Where is it"), ANN, [SUPPORT])
    assert subjects(mail_world.wait_for(SUPPORT)) == ["Where is it"]
    assert mail_world.dovecot.messages(OTHER_BRAND) == []
    assert mail_world.dovecot.messages(ANN) == []


def test_plus_addressing_lands_in_the_plain_mailbox_and_keeps_the_full_address(mail_world: MailWorld) -> None:
    mail_world.send(a_mail(ANN, "support+t0ken@acme.test", "Re order"), ANN, ["support+t0ken@acme.test"])
    (mail,) = mail_world.wait_for(SUPPORT)
    assert message_from_bytes(mail)["Delivered-To"] == "support+t0ken@acme.test"


def test_a_mail_without_a_message_id_stays_without_one(mail_world: MailWorld) -> None:
    mail_world.send(b"From: ann@client.test\r\nSubject: bare\r\n\r\nhello\r\n", ANN, [SUPPORT])
    (mail,) = mail_world.wait_for(SUPPORT)
    assert message_from_bytes(mail)["Message-ID"] is None


def test_a_reply_sent_with_a_login_over_starttls_reaches_the_customer(mail_world: MailWorld) -> None:
    context = mail_world.dovecot.certificates.client_context()
    with smtplib.SMTP("localhost", mail_world.postfix.ports.submission, timeout=10) as client:
        client.starttls(context=context)
        client.login(SUPPORT, USERS[SUPPORT])
        client.send_message(a_mail(SUPPORT, ANN, "On its way"))
    assert subjects(mail_world.wait_for(ANN)) == ["On its way"]


def test_submission_refuses_a_wrong_password_and_a_mail_without_a_login(mail_world: MailWorld) -> None:
    context = mail_world.dovecot.certificates.client_context()
    with smtplib.SMTP_SSL("localhost", mail_world.postfix.ports.submissions, context=context, timeout=10) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(SUPPORT, "wrong")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.send_message(a_mail(SUPPORT, ANN, "Not logged in"))
    assert mail_world.dovecot.messages(ANN) == []


def test_xoauth2_is_accepted_until_the_token_expires(mail_world: MailWorld) -> None:
    now = int(time.time())
    context = mail_world.dovecot.certificates.client_context()
    answers = []
    for expires_at in (now + 60, now - 60):
        token = mail_world.dovecot.access_token(SUPPORT, expires_at=expires_at)
        with smtplib.SMTP_SSL("localhost", mail_world.postfix.ports.submissions, context=context, timeout=10) as client:
            client.ehlo()
            answers.append(_try_xoauth2(client, token))
    assert answers == [235, 535]


def _try_xoauth2(client: smtplib.SMTP, token: str) -> int:
    def answer(challenge: bytes | None = None) -> str:
        return f"user={SUPPORT}\x01auth=Bearer {token}\x01\x01" if challenge is None else ""

    try:
        return client.auth("XOAUTH2", answer)[0]
    except smtplib.SMTPAuthenticationError as refused:
        return refused.smtp_code


def test_an_unknown_recipient_is_refused_at_once(mail_world: MailWorld) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        mail_world.send(a_mail(ANN, "nobody@acme.test", "Hello"), ANN, ["nobody@acme.test"])
    assert refused.value.recipients["nobody@acme.test"][0] == 550


def test_mail_to_the_bouncing_domain_comes_back_as_a_delivery_status_notification(mail_world: MailWorld) -> None:
    gone = f"gone@{BOUNCING_DOMAIN}"
    mail_world.send(a_mail(SUPPORT, gone, "Your order"), "support+b0unce@acme.test", [gone])
    (bounce,) = mail_world.wait_for(SUPPORT)
    assert message_from_bytes(bounce).get_content_type() == "multipart/report"
    assert b"Status: 5.1.1" in bounce
    assert b"Your-order@client.test" in bounce


def test_imap_over_tls_checks_against_the_throw_away_authority(mail_world: MailWorld) -> None:
    context = mail_world.dovecot.certificates.client_context()
    mail_world.dovecot.append(BOB, "INBOX", a_mail(ANN, BOB, "Secret").as_bytes())
    with imaplib.IMAP4_SSL("localhost", mail_world.dovecot.ports.imaps, ssl_context=context, timeout=10) as client:
        client.login(BOB, USERS[BOB])
        assert client.select()[1] == [b"1"]


def test_a_second_imap_client_and_doveadm_see_the_same_mailbox(mail_world: MailWorld) -> None:
    mail_world.dovecot.append(SUPPORT, "Orders/2026", a_mail(ANN, SUPPORT, "By doveadm").as_bytes())
    with imap(mail_world, SUPPORT) as client:
        client.append("INBOX", "", "", a_mail(ANN, SUPPORT, "By IMAP").as_bytes())
        assert client.select('"Orders/2026"')[1] == [b"1"]
    assert subjects(mail_world.dovecot.messages(SUPPORT)) == ["By IMAP"]
    assert subjects(mail_world.dovecot.messages(SUPPORT, "Orders/2026")) == ["By doveadm"]


def test_many_mails_appended_at_once_keep_their_order(mail_world: MailWorld) -> None:
    names = [f"mail {number}" for number in range(300)]
    count = mail_world.dovecot.append_many(SUPPORT, (a_mail(ANN, SUPPORT, name).as_bytes() for name in names))
    with imap(mail_world, SUPPORT) as client:
        client.select(readonly=True)
        _, answer = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = [part[1].decode().strip().removeprefix("Subject: ") for part in answer if isinstance(part, tuple)]
    assert count == 300
    assert found == names


@pytest.mark.parametrize("folder", ["INBOX", "Orders"])
def test_uid_validity_can_change_under_a_connected_client_and_no_mail_is_lost(mail_world: MailWorld, folder: str) -> None:
    mail_world.dovecot.append(SUPPORT, folder, a_mail(ANN, SUPPORT, "Kept").as_bytes())
    before = mail_world.dovecot.uid_validity(SUPPORT, folder)
    client = imap(mail_world, SUPPORT)
    client.select(folder)
    after = mail_world.dovecot.change_uid_validity(SUPPORT, folder)
    assert after != before
    assert mail_world.dovecot.uid_validity(SUPPORT, folder) == after
    assert subjects(mail_world.dovecot.messages(SUPPORT, folder)) == ["Kept"]
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        client.noop()


def test_mails_survive_kill_9_of_dovecot_and_postfix_delivers_after_the_restart(mail_world: MailWorld) -> None:
    mail_world.send(a_mail(ANN, SUPPORT, "Before"), ANN, [SUPPORT])
    mail_world.wait_for(SUPPORT)
    mail_world.dovecot.kill()
    assert not is_listening(mail_world.dovecot.ports.imap)
    mail_world.send(a_mail(ANN, SUPPORT, "While away"), ANN, [SUPPORT])
    mail_world.postfix.kill()
    assert not is_listening(mail_world.postfix.ports.smtp)
    mail_world.dovecot.start()
    mail_world.postfix.start()
    assert subjects(mail_world.wait_for(SUPPORT, 2, within=30)) == ["Before", "While away"]


def test_a_changed_password_counts_at_once_and_is_put_back_for_the_next_test(mail_world: MailWorld) -> None:
    mail_world.dovecot.set_password(BOB, "changed")
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        imap(mail_world, BOB)
    mail_world.reset()
    assert imap(mail_world, BOB).select()[0] == "OK"
