"""A throw-away mail world in this process: mailboxes over IMAP (pymap, with IDLE) and a mail server over SMTP (aiosmtpd) that fills them.

Nothing leaves the machine: mail to an address that has no mailbox comes back to its envelope sender as a bounce.
Not here: who writes what (`story`).
"""

import asyncio
import email.policy
import logging
from argparse import Namespace
from asyncio import AbstractServer, Queue
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from secrets import compare_digest

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, Login
from pymap.backend.dict.filter import FilterSet
from pymap.backend.dict.mailbox import MailboxSet
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.user import Passwords, UserMetadata

from threadline_cli.demo.cast import MAIL_HOST

__all__ = ["Delivered", "MailWorld", "mail_world"]

_LOOPBACK = "127.0.0.1"
_LARGEST_MAIL = 50 * 1024 * 1024


class _ImapConfig(Config):
    """pymap's settings, with a greeting that asks no resolver for this machine's name: offline that takes its time."""

    @property
    def greeting(self) -> bytes:
        return b"Server ready " + MAIL_HOST.encode()


@dataclass(frozen=True, slots=True)
class Delivered:
    """A mail as it reached a mailbox."""

    envelope_sender: str
    recipient: str
    raw: bytes


@dataclass
class MailWorld:
    """The ports of the servers, and the mailboxes: an address each, with its password."""

    passwords: Mapping[str, str]
    imap: Config
    imap_port: int = 0
    smtp_port: int = 0
    arrived: dict[str, Queue[Delivered]] = field(default_factory=dict)

    async def deliver(self, envelope_sender: str, recipient: str, raw: bytes) -> None:
        """Put a mail into the mailbox of `recipient` (a +tag is ignored), or send a bounce to its envelope sender."""
        mailbox = _mailbox_of(recipient)
        if mailbox not in self.passwords:
            if envelope_sender:
                await self.deliver("", envelope_sender, _bounce(envelope_sender, recipient, raw))
            return
        mailboxes, _ = self.imap.set_cache[mailbox]
        inbox = await mailboxes.get_mailbox("INBOX")
        traced = f"Return-Path: <{envelope_sender}>\r\nDelivered-To: {recipient}\r\n{self._vouched(envelope_sender)}".encode() + raw
        await inbox.append(AppendMessage(traced, datetime.now(UTC), frozenset()))
        self.arrived[mailbox].put_nowait(Delivered(envelope_sender, recipient, raw))

    def _vouched(self, envelope_sender: str) -> str:
        """The line in which this server says whose mail it knows to be genuine: that of its own users."""
        if envelope_sender not in self.passwords:
            return ""
        return f"Authentication-Results: {MAIL_HOST}; dmarc=pass header.from={envelope_sender.rpartition('@')[2]}\r\n"


@asynccontextmanager
async def mail_world(passwords: Mapping[str, str]) -> AsyncIterator[MailWorld]:
    """Run the world on free loopback ports while the context lasts."""
    config = _ImapConfig(
        Namespace(passlib_cfg=None, proxy_protocol=None),
        host=_LOOPBACK,
        port=0,
        tls_enabled=False,
        demo_data=False,
        demo_user="",
        demo_password="",
    )
    config.apply_context()
    # It warns about every login without TLS, which is right elsewhere and noise on loopback.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    world = MailWorld(passwords, config, arrived={address: Queue() for address in passwords})
    login = await _users(config, passwords)
    async with AsyncExitStack() as stack:
        on_connect = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(login, config))
        imap = await asyncio.start_server(on_connect, host=_LOOPBACK, port=0)
        smtp = await asyncio.get_running_loop().create_server(lambda: _smtp_session(world), host=_LOOPBACK, port=0)
        for server in (imap, smtp):
            stack.callback(server.close)
        world.imap_port, world.smtp_port = _port(imap), _port(smtp)
        yield world


async def _users(config: Config, passwords: Mapping[str, str]) -> Login:
    login = Login(config)
    hasher = Passwords(config)
    for address, password in passwords.items():
        login.users_dict[address] = UserMetadata(config, address, password=await hasher.hash_password(password))
        config.set_cache[address] = (MailboxSet(), FilterSet())
    return login


def _port(server: AbstractServer) -> int:
    return int(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]


def _mailbox_of(address: str) -> str:
    local, _, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _smtp_session(world: MailWorld) -> SMTP:
    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        known = world.passwords.get(data.login.decode("utf-8", "replace"), "")
        return AuthResult(success=bool(known) and compare_digest(known.encode(), data.password), handled=False)

    return SMTP(
        _Deliver(world),
        hostname=MAIL_HOST,
        data_size_limit=_LARGEST_MAIL,
        enable_SMTPUTF8=True,
        auth_require_tls=False,
        authenticator=authenticate,
        loop=asyncio.get_running_loop(),
    )


class _Deliver:
    """What aiosmtpd calls when a mail is complete."""

    def __init__(self, world: MailWorld) -> None:
        self._world = world

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        for recipient in envelope.rcpt_tos:
            await self._world.deliver(envelope.mail_from or "", recipient, envelope.original_content or b"")
        return "250 2.0.0 taken"


def _bounce(envelope_sender: str, recipient: str, raw: bytes) -> bytes:
    """The report of RFC 3464 that a mail server sends for an address it does not know."""
    original = email.message_from_bytes(raw, policy=email.policy.compat32)
    report = EmailMessage()
    report["From"] = f"Mail Delivery System <mailer-daemon@{MAIL_HOST}>"
    report["To"] = envelope_sender
    report["Subject"] = "Undelivered Mail Returned to Sender"
    report["Date"] = format_datetime(datetime.now(UTC))
    report["Message-ID"] = make_msgid(domain=MAIL_HOST)
    report["Auto-Submitted"] = "auto-replied"
    report.set_content(f"Your mail to {recipient} could not be delivered: there is no such mailbox.\n")
    report.make_mixed()
    report.set_type("multipart/report")
    report.set_param("report-type", "delivery-status")
    report.attach(_delivery_status(recipient))
    headers = EmailMessage()
    headers.set_content(f"Message-ID: {original['Message-ID']}\nSubject: {original['Subject']}\n", subtype="rfc822-headers")
    report.attach(headers)
    return report.as_bytes(policy=email.policy.SMTP)


def _delivery_status(recipient: str) -> EmailMessage:
    host, status = EmailMessage(), EmailMessage()
    host["Reporting-MTA"] = f"dns; {MAIL_HOST}"
    status["Final-Recipient"] = f"rfc822; {recipient}"
    status["Action"] = "failed"
    status["Status"] = "5.1.1"
    status["Diagnostic-Code"] = "smtp; 550 5.1.1 no such mailbox"
    part = EmailMessage()
    part["Content-Type"] = "message/delivery-status"
    part.set_payload([host, status])
    return part
