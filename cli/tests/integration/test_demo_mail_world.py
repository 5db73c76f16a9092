"""The demo's mail world speaks real IMAP (with IDLE) and SMTP, and keeps mail to itself."""

import asyncio
import email
import smtplib
from email.message import EmailMessage

import aioimaplib
import pytest
from threadline_cli.demo.mail_world import MailWorld, mail_world

pytestmark = pytest.mark.integration
SUPPORT, ANN = "support@acme.test", "ann@client.test"
PASSWORDS = {SUPPORT: "s3cret", ANN: "hers"}


def mail(recipient: str, sender: str = ANN) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"], made["Message-ID"] = sender, recipient, "Where is my order?", "<1@client.test>"
    made.set_content("Hello")
    return made


def send(world: MailWorld, message: EmailMessage, login: tuple[str, str] | None = None) -> None:
    with smtplib.SMTP("127.0.0.1", world.smtp_port, timeout=5) as client:
        if login:
            client.login(*login)
        client.send_message(message)


async def test_a_mail_by_smtp_wakes_an_idling_imap_client() -> None:
    async with mail_world(PASSWORDS) as world:
        client = aioimaplib.IMAP4("127.0.0.1", world.imap_port, timeout=5)
        await client.wait_hello_from_server()
        assert (await client.login(SUPPORT, "s3cret")).result == "OK"
        assert client.has_capability("IDLE")
        await client.select("INBOX")
        idle = await client.idle_start(timeout=10)
        await asyncio.to_thread(send, world, mail("support+tag@acme.test"), (ANN, "hers"))
        pushed = await client.wait_server_push(timeout=5)
        assert any(b"EXISTS" in line for line in pushed)
        client.idle_done()
        await asyncio.wait_for(idle, 5)
        answer = await client.uid("fetch", "1:*", "(UID INTERNALDATE BODY.PEEK[])")
        assert b"Where is my order?" in bytes(answer.lines[1])
        await client.logout()


async def test_a_wrong_password_is_refused_by_both_servers() -> None:
    async with mail_world(PASSWORDS) as world:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            await asyncio.to_thread(send, world, mail(SUPPORT), (ANN, "wrong"))
        client = aioimaplib.IMAP4("127.0.0.1", world.imap_port, timeout=5)
        await client.wait_hello_from_server()
        assert (await client.login(SUPPORT, "wrong")).result == "NO"
        client.protocol.transport.close()


async def test_mail_to_an_unknown_address_comes_back_as_a_bounce() -> None:
    async with mail_world(PASSWORDS) as world:
        await asyncio.to_thread(send, world, mail("nobody@client.test", sender=SUPPORT))
        returned = await asyncio.wait_for(world.arrived[SUPPORT].get(), 5)
        report = email.message_from_bytes(returned.raw)
        assert report.get_content_type() == "multipart/report"
        assert returned.envelope_sender == ""
        status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
        assert status.get_payload(1)["Final-Recipient"] == "rfc822; nobody@client.test"
