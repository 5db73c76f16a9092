"""Replies by mail over SMTP: an outbound message becomes one mail, handed to the account's own mail server.

Sources of the rules: RFC 5321, 5322, 6531 and channels.md 2.9 and 2.10 (2026-11-22). DKIM is the server's to sign.
Not here: how a mail looks (`mail.compose`), the SMTP conversation (`mail.smtp`), retries (the notifier's).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from threadline_connectors.capabilities import Capabilities
from threadline_connectors.errors import AccountBusyError, AuthError, DeliveryError, PermanentError, RetryableError, UncertainError
from threadline_connectors.senders import BlobReader, SendContext, SenderChannel, SenderEnvironment, SendResult, UnknownOutcome
from threadline_events.inbound import Attachment
from threadline_events.outbound import OutboundMessage
from threadline_runtime.blobs.keys import attachment_key
from threadline_runtime.blobs.port import BlobMissing
from threadline_runtime.failpoints import failpoint

from notifier.mail.account import EmailAccount, smtp_server
from notifier.mail.answers import Meaning, Phase, greylisting_wait, meaning_of, spell_code
from notifier.mail.compose import AttachedFile, ComposedMail, Mailbox, compose
from notifier.mail.headers import UnsendableMailError
from notifier.mail.pool import SmtpPool
from notifier.mail.smtp import AnswerError, ConnectionLostError, NoLoginError, SmtpServer, SmtpSession, SmtpUtf8MissingError

__all__ = ["CHANNEL", "EmailSender"]

_THROTTLE = timedelta(minutes=1)


class EmailSender:
    """Sends the mails of one account over a few connections that are kept."""

    def __init__(self, account: EmailAccount, server: SmtpServer, blobs: BlobReader, clock: Callable[[], float]) -> None:
        self._sender = Mailbox(account.address, account.display_name)
        self._server = server
        self._blobs = blobs
        self._pool = SmtpPool(server, clock)

    async def send(self, message: OutboundMessage, context: SendContext) -> SendResult:
        """One mail, accepted by the server. A repeat is the same mail, byte for byte while the account's own settings are."""
        mail = await self._compose(message)
        await failpoint("notifier.email.after_compose")
        async with self._conversation(context) as session:
            await failpoint("notifier.email.after_connect")
            await session.send(mail)
        await failpoint("notifier.email.after_accept")
        return SendResult((mail.message_id,))

    async def look(self, message: OutboundMessage, context: SendContext) -> SendResult | None:
        """Mail cannot be looked for; the policy is to repeat."""
        return None

    async def check(self) -> None:
        """Log in and out again."""
        async with self._conversation(None):
            pass

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    @asynccontextmanager
    async def _conversation(self, context: SendContext | None) -> AsyncIterator[SmtpSession]:
        """A connection, with all that can go wrong on it as an error whose class is the reaction."""
        try:
            async with self._pool.session() as session:
                yield session
        except AnswerError as error:
            raise self._refused(error, context) from error
        except ConnectionLostError as error:
            raise self._lost(error) from error
        except NoLoginError as error:
            advice = "set tls: starttls or implicit, or take username out" if self._server.tls == "none" else "take username out of smtp"
            raise AuthError(f"{self._server.host}:{self._server.port} offers no login: {advice}", code="no_login") from error
        except SmtpUtf8MissingError as error:
            raise PermanentError("the mail server cannot carry an address that is not ASCII (no SMTPUTF8)", code="smtputf8") from error

    async def _compose(self, message: OutboundMessage) -> ComposedMail:
        try:
            recipient = _recipient(message)
            files = [await self._read(message.brand, one) for one in message.attachments]
            # In a thread: forty megabytes of attachments take a while to encode.
            return await asyncio.to_thread(compose, message, self._sender, recipient, files)
        except UnsendableMailError as error:
            raise PermanentError(str(error), code="mail") from error

    async def _read(self, brand: str, attachment: Attachment) -> AttachedFile:
        if attachment.sha256 is None:
            raise UnsendableMailError(f"an attachment is not stored ({attachment.state}): take it out and send again")
        try:
            data = await self._blobs.get(attachment_key(brand, attachment.sha256))
        except (BlobMissing, ValueError) as error:
            raise UnsendableMailError("an attachment is not in the blob store: upload it and send again") from error
        content_id = attachment.content_id if attachment.inline else None
        return AttachedFile(data, attachment.media_type, attachment.file_name, content_id)

    def _refused(self, error: AnswerError, context: SendContext | None) -> DeliveryError:
        code = spell_code(error.code, error.text)
        where = f"{self._server.host}:{self._server.port}"
        match meaning_of(error.code, error.text, error.phase):
            case Meaning.AUTH:
                return AuthError(f"{where} refuses the login ({code}): check username and password of smtp", code=code)
            case Meaning.ACCOUNT_BUSY:
                rest = _THROTTLE if error.phase is Phase.ENVELOPE or error.phase is Phase.DATA else None
                return AccountBusyError(f"{where} takes no mail from this account now ({code})", code=code, retry_after=rest)
            case Meaning.GREYLISTED:
                wait = greylisting_wait(context.try_number if context else 1)
                return RetryableError(f"greylisted ({code})", code=code, retry_after=wait)
            case Meaning.RETRY:
                return RetryableError(f"the mail server said not now ({code})", code=code)
            case Meaning.PERMANENT:
                return PermanentError(_why_refused(code), code=code)

    def _lost(self, error: ConnectionLostError) -> DeliveryError:
        where = f"{self._server.host}:{self._server.port}"
        if error.may_be_accepted:
            return UncertainError(f"{where} has the mail and did not say whether it takes it: {error.reason}", code="no_answer")
        if error.phase is Phase.CONNECT or error.phase is Phase.LOGIN:
            return AccountBusyError(f"{where} cannot be reached: {error.reason}", code="connect")
        return RetryableError(f"the connection to {where} broke: {error.reason}", code="connection")


def _why_refused(code: str) -> str:
    status = code.partition(" ")[2]
    if status.startswith("5.1."):
        return f"the address takes no mail ({code})"
    if status == "5.3.4":
        return f"the mail is too big for the server ({code}): send a smaller attachment or a link"
    if status.startswith("5.7."):
        return f"refused by policy ({code}): see that the account may send as its address, and its SPF, DKIM and DMARC"
    return f"the mail server refused the mail for good ({code})"


def _recipient(message: OutboundMessage) -> Mailbox:
    address, name = message.reply_address.get("address"), message.reply_address.get("display_name")
    if not isinstance(address, str):
        raise UnsendableMailError("the reply address names no mail address")
    # The customer chose the name: one that could break a header is left out, so that nobody can make us unable to answer.
    return Mailbox(address, name if isinstance(name, str) and name.isprintable() else None)


def _build(account: EmailAccount, environment: SenderEnvironment) -> EmailSender:
    return EmailSender(account, smtp_server(account), environment.blobs, time.monotonic)


CHANNEL = SenderChannel(
    name="email",
    capabilities=Capabilities(reply=True, threads=True, html=True, attachments=True, receipts=True),
    unknown_outcome=UnknownOutcome.REPEAT,
    account_model=EmailAccount,
    build=_build,
)
