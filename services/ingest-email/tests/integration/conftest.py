"""Starts what takes mail in from the real Dovecot: accounts, feeds and a rig."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from ingest_email.feeds import mail_feeds
from ingest_email.imap.mail import MailboxMail
from ingest_email.imap.spool import Spool
from ingest_email.parsing import ParserPool
from ingest_email.settings import MailAccount
from threadline_connectors.poller_host import Feed
from threadline_connectors.testing.poller_rig import PollerRig, poller_rig
from threadline_runtime.testing.mail_world import SUPPORT, USERS, MailWorld

StartFeeds = Callable[..., tuple[Feed[MailboxMail], ...]]
MakeMail = Callable[..., bytes]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[PollerRig]:
    async with poller_rig(tmp_path) as one:
        yield one


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[ParserPool]:
    async with ParserPool(workers=1, time_limit=30, memory_limit=1 << 30, spool_dir=tmp_path / "parts") as one:
        yield one


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    one = Spool(tmp_path / "mails")
    one.prepare()
    return one


@pytest.fixture
def account(mail_world: MailWorld) -> Callable[..., MailAccount]:
    def make(user: str = SUPPORT, **imap: Any) -> MailAccount:
        settings = {
            "host": "127.0.0.1",
            "port": mail_world.dovecot.ports.imap,
            "tls": "none",
            "username": user,
            "password": USERS[user],
            "start_at": "all",
        }
        merged = {key: value for key, value in {**settings, **imap}.items() if value is not None}
        return MailAccount.model_validate({"id": "support-mail", "channel": "email", "brand": "acme", "address": SUPPORT, "imap": merged})

    return make


@pytest.fixture
def feeds(account: Callable[..., MailAccount], pool: ParserPool, spool: Spool) -> StartFeeds:
    def make(**imap: Any) -> tuple[Feed[MailboxMail], ...]:
        return mail_feeds(account(**imap), pool=pool, spool=spool, now=lambda: datetime.now(UTC))

    return make


@pytest.fixture
def mail() -> MakeMail:
    def make(number: int, text: str = "Where is my order?", **headers: str) -> bytes:
        message = EmailMessage()
        fields = {"From": "Ann Lee <ann@client.test>", "To": SUPPORT, "Subject": f"Order {number}", "Message-ID": f"<{number}@client.test>"}
        for name, value in {**fields, **headers}.items():
            message[name] = value
        message["Date"] = datetime.now(UTC)
        message.set_content(text)
        return message.as_bytes()

    return make
