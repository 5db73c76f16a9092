"""Replies by mail over SMTP: an outbound message becomes one mail, handed to the account's own mail server.

Sources of the rules: RFC 5321, 5322, 6531 and channels.md 2.9 and 2.10 (2026-11-22). DKIM is the server's to sign.
Not here: how a mail looks (`mail.compose`), the SMTP conversation (`mail.smtp`), retries (the notifier's).
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from threadline_connectors.capabilities import Capabilities
from threadline_connectors.errors import AuthError, DeliveryError, PermanentError, RetryableError, UncertainError
from threadline_connectors.senders import BlobReader, SendContext, SenderChannel, SenderEnvironment, SendResult, UnknownOutcome
from threadline_connectors.settings import ChannelAccount, OtherHalf
from threadline_events.inbound import Attachment
from threadline_events.outbound import OutboundMessage
from threadline_runtime.blobs.keys import attachment_key
from threadline_runtime.blobs.port import BlobMissing
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.failpoints import failpoint
from threadline_runtime.secrets import resolve_secret

from notifier.domain.outcomes import AccountBusyError
from notifier.domain.rates import Limits
from notifier.mail.addresses import envelope_address
from notifier.mail.answers import Meaning, Phase, greylisting_wait, meaning_of, spell_code
from notifier.mail.compose import AttachedFile, ComposedMail, Mailbox, compose
from notifier.mail.headers import UnsendableMailError
from notifier.mail.pool import SmtpPool
from notifier.mail.smtp import AnswerError, ConnectionLostError, NoLoginError, SmtpServer, SmtpSession, SmtpUtf8MissingError

__all__ = ["CHANNEL", "EmailAccount", "EmailSender", "SmtpSettings", "smtp_server"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"implicit": 465, "starttls": 587, "none": 25}
_THREAD_PER_MINUTE = 20
_THROTTLE = timedelta(minutes=1)


class SmtpSettings(BaseModel):
    """`smtp:` of a mail account.

    `access_token` (XOAUTH2) names a file that something renews: tokens live about an hour, so it is read anew at every login.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    tls: Literal["implicit", "starttls", "none"] = "starttls"
    insecure: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password: SecretStr | None = None
    access_token: str | None = Field(default=None, pattern=r"^file:.+")
    connections: int = Field(default=3, ge=1, le=20)
    per_minute: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls == "none" and not self.insecure and self.host not in _LOOPBACK:
            raise ValueError("tls: none sends passwords and mails in clear text; use starttls or implicit, or set insecure: true")
        if self.password is not None and self.access_token is not None:
            raise ValueError("set password or access_token, not both")
        if (self.username is None) != (self.password is None and self.access_token is None):
            raise ValueError("username goes with password or access_token, and they with username")
        return self


class EmailAccount(ChannelAccount):
    """A mail account as the notifier reads it."""

    address: str
    smtp: SmtpSettings
    imap: OtherHalf
    trusted_authserv_id: OtherHalf
    form: OtherHalf

    @model_validator(mode="after")
    def _is_addressable(self) -> Self:
        try:
            envelope_address("address", self.address)
        except UnsendableMailError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def limits(self) -> Limits:
        """What the account's server bears."""
        return Limits(self.smtp.connections, self.smtp.per_minute, _THREAD_PER_MINUTE)


class EmailSender:
    """Sends the mails of one account over a few connections that are kept."""

    def __init__(self, account: EmailAccount, server: SmtpServer, blobs: BlobReader, clock: Callable[[], float]) -> None:
        self._sender = Mailbox(account.address, account.display_name)
        self._server = server
        self._blobs = blobs
        self._pool = SmtpPool(server, clock)

    async def send(self, message: OutboundMessage, context: SendContext) -> SendResult:
        """One mail, accepted by the server. A repeat is the same mail, byte for byte."""
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


def smtp_server(account: EmailAccount) -> SmtpServer:
    """Where and how the account logs in; raises ConfigurationError for a ca_file that cannot be read."""
    smtp = account.smtp
    server = SmtpServer(
        host=smtp.host,
        port=smtp.port or _PORTS[smtp.tls],
        tls=smtp.tls,
        greeting_name=envelope_address("address", account.address).rpartition("@")[2],
        username=smtp.username,
        context=_context(smtp),
    )
    if smtp.access_token is not None:
        return replace(server, token=_renewed(smtp.access_token))
    if smtp.password is not None:
        return replace(server, password=_fixed(smtp.password))
    return server


def _context(smtp: SmtpSettings) -> ssl.SSLContext | None:
    if smtp.tls == "none":
        return None
    try:
        return ssl.create_default_context(cafile=smtp.ca_file)
    except OSError as error:
        raise ConfigurationError(f"cannot read ca_file of smtp ({smtp.ca_file}): {error.strerror or error}") from error


def _renewed(reference: str) -> Callable[[], Awaitable[str]]:
    async def read() -> str:
        try:
            return (await asyncio.to_thread(resolve_secret, reference, {})).get_secret_value()
        except ConfigurationError as error:
            raise AuthError(f"access_token of smtp: {error}", code="access_token") from error

    return read


def _fixed(secret: SecretStr) -> Callable[[], Awaitable[str]]:
    async def read() -> str:
        return secret.get_secret_value()

    return read


def _build(account: EmailAccount, environment: SenderEnvironment) -> EmailSender:
    return EmailSender(account, smtp_server(account), environment.blobs, time.monotonic)


CHANNEL = SenderChannel(
    name="email",
    capabilities=Capabilities(reply=True, threads=True, html=True, attachments=True, receipts=True),
    unknown_outcome=UnknownOutcome.REPEAT,
    account_model=EmailAccount,
    build=_build,
)
