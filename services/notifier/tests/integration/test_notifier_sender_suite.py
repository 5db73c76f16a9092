"""The mail sender held to what every sender must do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
from notifier.mail.account import EmailAccount, smtp_server
from notifier.mail.smtp import Timeouts
from notifier.senders.email import CHANNEL, EmailSender
from notifier.testing.store_suite import outbound
from threadline_connectors.testing.sender_suite import SenderSuite, Situation, Staged
from threadline_events.outbound import OutboundMessage
from threadline_runtime.testing.fake_smtp import Fate, Step
from threadline_runtime.testing.fixtures import StartFakeSmtp
from threadline_runtime.testing.ports import free_port

pytestmark = pytest.mark.integration

STEPS = {
    Situation.BUSY: Step(Fate.REFUSE_RECIPIENT, "451 4.3.0 later"),
    Situation.REFUSES: Step(Fate.REFUSE_RECIPIENT, "550 5.1.1 unknown"),
    Situation.SILENT_AFTER_ACCEPTING: Step(Fate.STALL_AFTER_DATA),
}


class NoBlobs:
    async def get(self, key: str) -> bytes:
        raise AssertionError(key)


class TestEmailSender(SenderSuite):
    """Over SMTP, with a login."""

    channel = CHANNEL
    secrets = ("the-password", "no-password")

    @pytest.fixture(autouse=True)
    def _servers(self, start_fake_smtp: StartFakeSmtp) -> None:
        self.start = start_fake_smtp

    def message(self) -> OutboundMessage:
        return outbound()

    def staged(self, situation: Situation) -> AbstractAsyncContextManager[Staged]:
        return self._stage(situation)

    @asynccontextmanager
    async def _stage(self, situation: Situation) -> AsyncIterator[Staged]:
        server = self.start(logins={"support@acme.test": "the-password"})
        if situation in STEPS:
            server.script(STEPS[situation])
        account = EmailAccount.model_validate(
            {
                "id": "support-mail",
                "channel": "email",
                "brand": "acme",
                "address": "support@acme.test",
                "smtp": {
                    "host": server.host,
                    "port": free_port() if situation is Situation.UNREACHABLE else server.port,
                    "tls": "none",
                    "username": "support@acme.test",
                    "password": "no-password" if situation is Situation.REFUSES_LOGIN else "the-password",
                },
            }
        )
        known = replace(smtp_server(account), timeouts=Timeouts(connect=5, command=5, data=0.3))
        sender = EmailSender(account, known, NoBlobs(), asyncio.get_running_loop().time)
        staged = Staged(sender, cast("list[bytes]", server._script.received))  # live; the suite looks at its length only
        try:
            yield staged
        finally:
            await sender.close()
