"""The scripted SMTP server fails as it is told to; on loopback only, no program is needed."""

from __future__ import annotations

import smtplib

import pytest
from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step
from threadline_runtime.testing.fixtures import StartFakeSmtp

pytestmark = pytest.mark.integration

SENDER, RECIPIENT = "support@acme.test", "ann@client.test"


def send(server: FakeSmtp, text: str = "hello", timeout: float = 5.0) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=timeout) as client:
        client.sendmail(SENDER, [RECIPIENT], f"Subject: {text}\r\n\r\n{text}\r\n")


def test_a_mail_is_kept_as_it_came(fake_smtp: FakeSmtp) -> None:
    send(fake_smtp, "first")
    (mail,) = fake_smtp.wait_for(1)
    assert (mail.sender, mail.recipients, mail.login) == (SENDER, (RECIPIENT,), None)
    assert mail.data == b"Subject: first\r\n\r\nfirst\r\n"


@pytest.mark.parametrize("fate", [Fate.REFUSE_SENDER, Fate.REFUSE_RECIPIENT, Fate.REFUSE_DATA])
@pytest.mark.parametrize("reply", ["451 4.3.0 Try again later", "550 5.1.1 No such user"])
def test_a_refusal_carries_its_reply_and_counts_for_one_mail(fake_smtp: FakeSmtp, fate: Fate, reply: str) -> None:
    fake_smtp.script(Step(fate, reply))
    with pytest.raises(smtplib.SMTPException) as refused:
        send(fake_smtp)
    assert reply[:3] in str(refused.value)
    assert fake_smtp.received == []
    send(fake_smtp, "second")
    assert len(fake_smtp.received) == 1


@pytest.mark.parametrize(("fate", "taken"), [(Fate.STALL_AFTER_DATA, 1), (Fate.DROP_AFTER_DATA, 1), (Fate.DROP_UNTAKEN, 0)])
def test_an_unknown_outcome_leaves_the_sender_without_an_answer(fake_smtp: FakeSmtp, fate: Fate, taken: int) -> None:
    fake_smtp.script(Step(fate))
    with pytest.raises((smtplib.SMTPServerDisconnected, TimeoutError)):
        send(fake_smtp, timeout=0.5)
    assert len(fake_smtp.received) == taken


def test_a_connection_dropped_after_250_leaves_the_mail_taken_and_answered(fake_smtp: FakeSmtp) -> None:
    fake_smtp.script(Step(Fate.DROP_AFTER_ACCEPT))
    client = smtplib.SMTP(fake_smtp.host, fake_smtp.port, timeout=5)
    assert client.sendmail(SENDER, [RECIPIENT], "Subject: x\r\n\r\nx\r\n") == {}
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail(SENDER, [RECIPIENT], "Subject: y\r\n\r\ny\r\n")
    assert len(fake_smtp.received) == 1


def test_starttls_is_required_before_a_login(start_fake_smtp: StartFakeSmtp, certificates: Certificates) -> None:
    server = start_fake_smtp(tls="starttls", logins={"support": "secret"})
    with smtplib.SMTP("localhost", server.port, timeout=5) as client:
        with pytest.raises(smtplib.SMTPException):
            client.login("support", "secret")
        client.starttls(context=certificates.client_context())
        client.login("support", "secret")
        client.sendmail(SENDER, [RECIPIENT], "Subject: x\r\n\r\nx\r\n")
    assert server.received[0].login == "support"


def test_implicit_tls_and_a_refused_login(start_fake_smtp: StartFakeSmtp, certificates: Certificates) -> None:
    server = start_fake_smtp(tls="implicit", logins={"support": "secret"})
    context = certificates.client_context()
    with smtplib.SMTP_SSL("localhost", server.port, context=context, timeout=5) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login("support", "wrong")
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail(SENDER, [RECIPIENT], "Subject: x\r\n\r\nx\r\n")
    assert refused.value.smtp_code == 535
    assert server.received == []


@pytest.mark.parametrize(("token", "code"), [("good", 235), ("expired", 535)])
def test_xoauth2_takes_the_right_token_only(start_fake_smtp: StartFakeSmtp, certificates: Certificates, token: str, code: int) -> None:
    server = start_fake_smtp(tls="starttls", tokens={"support@acme.test": "good"})
    with smtplib.SMTP("localhost", server.port, timeout=5) as client:
        client.starttls(context=certificates.client_context())
        client.ehlo()
        try:
            answered = client.auth("XOAUTH2", lambda _challenge=None: f"user={SENDER}\x01auth=Bearer {token}\x01\x01")[0]
        except smtplib.SMTPAuthenticationError as refused:
            answered = refused.smtp_code
    assert answered == code
