"""The mail sender against SMTP servers that fail as they are told to, and against Postfix."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from notifier.mail.account import EmailAccount, smtp_server
from notifier.mail.smtp import Timeouts
from notifier.senders.email import EmailSender
from notifier.testing.store_suite import NOW, outbound
from threadline_connectors.errors import AccountBusyError, AuthError, PermanentError, RetryableError, UncertainError
from threadline_connectors.senders import SendContext
from threadline_events.inbound import Attachment
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.blobs.keys import attachment_key
from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step
from threadline_runtime.testing.fixtures import StartFakeSmtp
from threadline_runtime.testing.mail_world import ANN, SUPPORT, USERS, MailWorld
from threadline_runtime.testing.ports import LOOPBACK, free_port

pytestmark = pytest.mark.integration

CONTEXT = SendContext(NOW)
PATIENCE = Timeouts(connect=5.0, command=5.0, data=0.3)


def account(port: int, **smtp: Any) -> EmailAccount:
    settings = {"host": LOOPBACK, "port": port, "tls": "none", **smtp}
    return EmailAccount.model_validate(
        {"id": "support-mail", "channel": "email", "brand": "acme", "display_name": "Acme Support", "address": SUPPORT, "smtp": settings}
    )


@asynccontextmanager
async def sender(
    port: int, blobs: Path | None = None, *, timeouts: Timeouts = PATIENCE, clock: Callable[[], float] = time.monotonic, **smtp: Any
) -> AsyncIterator[EmailSender]:
    configured = account(port, **smtp)
    server = replace(smtp_server(configured), timeouts=timeouts)
    made = EmailSender(configured, server, FileBlobs.open(blobs or Path("/nonexistent")) if blobs else NoBlobs(), clock)
    try:
        yield made
    finally:
        await made.close()


class NoBlobs:
    async def get(self, key: str) -> bytes:
        raise AssertionError(key)


async def test_a_mail_arrives_as_composed(fake_smtp: FakeSmtp) -> None:
    """Envelope and bytes; the id is what replies will name."""
    async with sender(fake_smtp.port) as mail:
        result = await mail.send(outbound(), CONTEXT)
    (taken,) = fake_smtp.received
    assert result.external_ids == ("m_1.1@acme.test",)
    assert (taken.sender, taken.recipients) == ("bounce+m_1@acme.test", ("ann@client.test",))
    parsed = message_from_bytes(taken.data, policy=default)
    assert parsed["Message-ID"] == "<m_1.1@acme.test>"
    assert parsed["Subject"] == "Re: Where is my order?"


async def test_dots_survive(fake_smtp: FakeSmtp) -> None:
    """A line that is a dot does not end the mail."""
    async with sender(fake_smtp.port) as mail:
        await mail.send(outbound().model_copy(update={"text": "above\n.\n..\n.below"}), CONTEXT)
    body = message_from_bytes(fake_smtp.received[0].data, policy=default).get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == "above\n.\n..\n.below\n"


async def test_a_repeat_is_byte_for_byte_the_same(fake_smtp: FakeSmtp) -> None:
    """P4: the receiver can see that it is the same mail."""
    async with sender(fake_smtp.port) as mail:
        await mail.send(outbound(), CONTEXT)
        await mail.send(outbound(), replace(CONTEXT, try_number=2, repeat=True))
    first, second = fake_smtp.received
    assert first.data == second.data


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        (Step(Fate.REFUSE_RECIPIENT, "451 4.3.0 try again"), RetryableError, "451 4.3.0"),
        (Step(Fate.REFUSE_DATA, "452 4.3.1 no space"), RetryableError, "452 4.3.1"),
        (Step(Fate.REFUSE_RECIPIENT, "550 5.1.1 no such user"), PermanentError, "550 5.1.1"),
        (Step(Fate.REFUSE_DATA, "554 5.7.1 spam"), PermanentError, "554 5.7.1"),
        (Step(Fate.REFUSE_SENDER, "530 5.7.0 log in first"), AuthError, "530 5.7.0"),
        (Step(Fate.REFUSE_SENDER, "432 4.3.2 too fast"), AccountBusyError, "432 4.3.2"),
        (Step(Fate.STALL_AFTER_DATA), UncertainError, "no_answer"),
        (Step(Fate.DROP_AFTER_DATA), UncertainError, "no_answer"),
        (Step(Fate.DROP_UNTAKEN), UncertainError, "no_answer"),
    ],
)
async def test_each_failure_has_its_class(fake_smtp: FakeSmtp, step: Step, error: type[Exception], code: str) -> None:
    """The type of the error is the reaction, and the account goes on afterwards."""
    fake_smtp.script(step)
    async with sender(fake_smtp.port) as mail:
        with pytest.raises(error) as raised:
            await mail.send(outbound(), CONTEXT)
        assert type(raised.value) is error
        assert raised.value.code == code  # type: ignore[attr-defined]
        await mail.send(outbound("m_2"), CONTEXT)
    assert message_from_bytes(fake_smtp.received[-1].data)["Message-ID"] == "<m_2.1@acme.test>"


@pytest.mark.parametrize("reply", ["354 go on", "what?", "999 hm", "1"])
async def test_an_odd_answer_to_the_content_is_an_unknown_outcome(fake_smtp: FakeSmtp, reply: str) -> None:
    """P4: the server has the whole mail; only 4xx and 5xx say that it did not take it, so another call is a counted repeat."""
    fake_smtp.script(Step(Fate.REFUSE_DATA, reply))
    async with sender(fake_smtp.port) as mail:
        with pytest.raises(UncertainError):
            await mail.send(outbound(), CONTEXT)


async def test_any_positive_answer_to_the_content_is_an_acceptance(fake_smtp: FakeSmtp) -> None:
    """RFC 5321 4.2.1: the first digit decides."""
    fake_smtp.script(Step(Fate.REFUSE_DATA, "251 2.6.0 forwarded"))
    async with sender(fake_smtp.port) as mail:
        assert (await mail.send(outbound(), CONTEXT)).external_ids == ("m_1.1@acme.test",)


async def test_greylisting_has_its_own_schedule(fake_smtp: FakeSmtp) -> None:
    """First after some minutes, then half an hour."""
    steps = [Step(Fate.REFUSE_RECIPIENT, "450 4.7.1 greylisted")] * 2
    fake_smtp.script(*steps)
    waits = []
    async with sender(fake_smtp.port) as mail:
        for number in (1, 2):
            with pytest.raises(RetryableError) as raised:
                await mail.send(outbound(), replace(CONTEXT, try_number=number))
            waits.append(raised.value.retry_after)
    assert waits == [timedelta(minutes=7), timedelta(minutes=30)]


async def test_a_close_after_250_is_accepted(fake_smtp: FakeSmtp) -> None:
    """The server said yes; that it hangs up then is its business, and the next mail finds a new connection."""
    fake_smtp.script(Step(Fate.DROP_AFTER_ACCEPT))
    async with sender(fake_smtp.port) as mail:
        await mail.send(outbound(), CONTEXT)
        await mail.send(outbound("m_2"), CONTEXT)
    assert len(fake_smtp.received) == 2


async def test_nobody_listens() -> None:
    """The whole account rests, in one clear line."""
    port = free_port()
    async with sender(port) as mail:
        with pytest.raises(AccountBusyError, match=f"127.0.0.1:{port} cannot be reached: Connection refused"):
            await mail.send(outbound(), CONTEXT)


async def test_a_server_that_never_greets() -> None:
    """A time-out before anything was sent: nothing was accepted."""
    silent = await asyncio.start_server(lambda _r, _w: asyncio.sleep(30), LOOPBACK, 0)
    port = silent.sockets[0].getsockname()[1]
    async with sender(port, timeouts=Timeouts(connect=0.2, command=0.2, data=0.2)) as mail:
        with pytest.raises(AccountBusyError, match="no answer in time"):
            await mail.send(outbound(), CONTEXT)
    silent.close()


async def test_a_drop_before_the_content_is_no_unknown_outcome() -> None:
    """P4: as long as the content was not sent nothing can have been accepted, and nothing counts as a repeat."""

    async def drop_at_data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.close()
                return
            writer.write(b"250 ok\r\n")

    server = await asyncio.start_server(drop_at_data, LOOPBACK, 0)
    async with sender(server.sockets[0].getsockname()[1]) as mail:
        with pytest.raises(RetryableError) as raised:
            await mail.send(outbound(), CONTEXT)
    assert raised.value.code == "connection"
    server.close()


async def test_many_mails_one_connection(fake_smtp: FakeSmtp) -> None:
    """Several sends on one connection, a new one after fifty mails or a minute of rest."""
    opened = 0
    now = 0.0
    async with sender(fake_smtp.port, clock=lambda: now) as mail:
        original = mail._pool._open

        async def counted() -> Any:
            nonlocal opened
            opened += 1
            return await original()

        mail._pool._open = counted  # type: ignore[method-assign]
        for number in range(50):
            await mail.send(outbound(f"m_{number}"), CONTEXT)
        assert opened == 1
        await mail.send(outbound("m_50"), CONTEXT)
        assert opened == 2
        now = 61.0
        await mail.send(outbound("m_51"), CONTEXT)
        assert opened == 3
    assert len(fake_smtp.received) == 52


async def test_a_connection_that_died_while_idle_is_replaced(fake_smtp: FakeSmtp) -> None:
    """A server that hangs up between two mails is not seen by the second."""
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, fake_smtp.port)
        writers.append(writer)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)

    proxy = await asyncio.start_server(between, LOOPBACK, 0)
    async with sender(proxy.sockets[0].getsockname()[1]) as mail:
        await mail.send(outbound(), CONTEXT)
        writers[0].transport.abort()
        await mail.send(outbound("m_2"), CONTEXT)
    assert len(writers) == 2
    assert len(fake_smtp.received) == 2
    proxy.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_tls_and_password(start_fake_smtp: StartFakeSmtp, certificates: Certificates, tls: Any) -> None:
    """Both kinds of TLS, checked against the authority."""
    server = start_fake_smtp(tls=tls, logins={SUPPORT: "secret"})
    async with sender(server.port, tls=tls, username=SUPPORT, password="secret", ca_file=certificates.authority) as mail:
        await mail.check()
        await mail.send(outbound(), CONTEXT)
    assert server.received[0].login == SUPPORT


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_an_unknown_certificate_is_refused(start_fake_smtp: StartFakeSmtp, tls: Any) -> None:
    """TLS is verified everywhere; neither password nor mail leaves."""
    server = start_fake_smtp(tls=tls, logins={SUPPORT: "secret"})
    async with sender(server.port, tls=tls, username=SUPPORT, password="secret") as mail:
        with pytest.raises(AccountBusyError, match="certificate is not trusted"):
            await mail.send(outbound(), CONTEXT)
    assert server.received == []


async def test_starttls_is_required_not_hoped_for(fake_smtp: FakeSmtp) -> None:
    """A server that does not offer it gets nothing in clear text."""
    async with sender(fake_smtp.port, tls="starttls") as mail:
        with pytest.raises(AccountBusyError):
            await mail.send(outbound(), CONTEXT)
    assert fake_smtp.received == []


async def test_a_wrong_password_is_an_account_fault(start_fake_smtp: StartFakeSmtp) -> None:
    """AuthError, by sending and by check alike, without the password in it."""
    server = start_fake_smtp(logins={SUPPORT: "secret"})
    async with sender(server.port, username=SUPPORT, password="wrong-password") as mail:
        for call in (mail.check(), mail.send(outbound(), CONTEXT)):
            with pytest.raises(AuthError) as raised:
                await call
            assert "wrong-password" not in str(raised.value)


async def test_a_server_without_login_is_an_account_fault(fake_smtp: FakeSmtp) -> None:
    """Credentials that cannot be used stop the account instead of sending without."""
    async with sender(fake_smtp.port, username=SUPPORT, password="secret") as mail:
        with pytest.raises(AuthError):
            await mail.check()


async def test_xoauth2_reads_its_token_at_every_login(start_fake_smtp: StartFakeSmtp, tmp_path: Path) -> None:
    """Tokens live an hour; the file holds the fresh one."""
    server = start_fake_smtp(tokens={SUPPORT: "fresh"})
    token = tmp_path / "token"
    token.write_text("stale\n")
    async with sender(server.port, username=SUPPORT, access_token=f"file:{token}") as mail:
        with pytest.raises(AuthError):
            await mail.send(outbound(), CONTEXT)
        token.write_text("fresh\n")
        await mail.send(outbound(), CONTEXT)
    assert server.received[0].login == SUPPORT


async def test_an_address_beyond_ascii_needs_smtputf8(fake_smtp: FakeSmtp) -> None:
    """EAI: asked for only where it is needed."""
    message = outbound().model_copy(update={"reply_address": {"address": "änn@client.test", "display_name": "Änn"}})
    async with sender(fake_smtp.port) as mail:
        await mail.send(message, CONTEXT)
    assert fake_smtp.received[0].recipients == ("änn@client.test",)
    assert "To: =?utf-8?b?w4Rubg==?= <änn@client.test>".encode() in fake_smtp.received[0].data


async def test_attachments_come_from_the_blobs(fake_smtp: FakeSmtp, tmp_path: Path) -> None:
    """A stored file goes along; one that is gone fails the delivery with what to do."""
    blobs = FileBlobs.open(tmp_path)
    sha = hashlib.sha256(b"%PDF").hexdigest()
    await blobs.put(attachment_key("acme", sha), b"%PDF")
    there = Attachment(sha256=sha, size=4, media_type="application/pdf", file_name="Rechnung ü.pdf")
    async with sender(fake_smtp.port, tmp_path) as mail:
        await mail.send(outbound().model_copy(update={"attachments": (there,)}), CONTEXT)
        gone = there.model_copy(update={"sha256": "0" * 64})
        with pytest.raises(PermanentError, match="upload it"):
            await mail.send(outbound().model_copy(update={"attachments": (gone,)}), CONTEXT)
    (attached,) = message_from_bytes(fake_smtp.received[0].data, policy=default).iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("Rechnung ü.pdf", b"%PDF")


async def test_a_header_that_would_break_out_is_refused(fake_smtp: FakeSmtp) -> None:
    """Security: PermanentError, and nothing is sent; a customer's odd name is left out instead."""
    async with sender(fake_smtp.port) as mail:
        with pytest.raises(PermanentError, match="Subject"):
            await mail.send(outbound().model_copy(update={"subject": "Re: a\r\nBcc: eve@evil.test"}), CONTEXT)
        odd = {"address": "ann@client.test", "display_name": "Ann\r\nBcc: eve@evil.test"}
        await mail.send(outbound().model_copy(update={"reply_address": odd}), CONTEXT)
    (taken,) = fake_smtp.received
    assert b"evil" not in taken.data


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_postfix_delivers_it(mail_world: MailWorld, tls: Any) -> None:
    """The real thing: a login under TLS, into Ann's mailbox."""
    ports, authority = mail_world.postfix.ports, mail_world.dovecot.certificates.authority
    port = ports.submission if tls == "starttls" else ports.submissions
    async with sender(port, tls=tls, ca_file=authority, username=SUPPORT, password=USERS[SUPPORT], timeouts=Timeouts()) as mail:
        for number in range(3):
            await mail.send(outbound(f"m_{number}"), CONTEXT)
    arrived = await asyncio.to_thread(mail_world.wait_for, ANN, 3)
    ids = {message_from_bytes(one)["Message-ID"] for one in arrived}
    assert ids == {f"<m_{number}.1@acme.test>" for number in range(3)}


async def test_postfix_without_tls_is_an_account_fault(mail_world: MailWorld) -> None:
    """A server that offers a login only under TLS: one clear line says what to change."""
    async with sender(mail_world.postfix.ports.submission, username=SUPPORT, password=USERS[SUPPORT], timeouts=Timeouts()) as mail:
        with pytest.raises(AuthError, match="set tls: starttls"):
            await mail.check()
