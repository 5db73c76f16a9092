"""One SMTP connection, driven command by command, so that it is always known whether a mail may have been accepted.

Nothing here retries or judges: a refusal is an AnswerError, a broken connection a ConnectionLostError, each with its phase.
Not here: which connection a mail takes (`pool`), and what an answer means (`answers`).
"""

import os
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import aiosmtplib
from aiosmtplib.typing import SMTPStatus

from notifier.mail.addresses import Envelope
from notifier.mail.answers import Phase
from notifier.mail.compose import ComposedMail

__all__ = ["AnswerError", "ConnectionLostError", "NoLoginError", "SmtpServer", "SmtpSession", "SmtpUtf8MissingError", "Timeouts", "Tls"]

Tls = Literal["implicit", "starttls", "none"]
_LEADING_DOT = re.compile(rb"(?m)^\.")
_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, ConnectionError, TimeoutError)


class AnswerError(Exception):
    """The server answered, and it was not a yes: nothing was accepted."""

    def __init__(self, code: int, text: str, phase: Phase) -> None:
        super().__init__(f"SMTP answer {code}")
        self.code = code
        self.text = text
        self.phase = phase


class ConnectionLostError(Exception):
    """No answer. Only where `may_be_accepted` the whole mail was under way."""

    def __init__(self, reason: str, phase: Phase, *, may_be_accepted: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.phase = phase
        self.may_be_accepted = may_be_accepted


class NoLoginError(Exception):
    """The server offers no way to log in that we know, on this connection."""


class SmtpUtf8MissingError(Exception):
    """The server cannot carry an address that is not ASCII (RFC 6531)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, for an answer, and for the answer to a whole mail (RFC 5321 4.5.3.2)."""

    connect: float = 30.0
    command: float = 120.0
    data: float = 600.0


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where and how an account logs in. `password` and `token` are asked for at every login, so that fresh ones are used."""

    host: str
    port: int
    tls: Tls
    greeting_name: str
    username: str | None = None
    password: Callable[[], Awaitable[str]] | None = None
    token: Callable[[], Awaitable[str]] | None = None
    context: ssl.SSLContext | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


class SmtpSession:
    """A connection that is logged in."""

    def __init__(self, client: aiosmtplib.SMTP, timeouts: Timeouts) -> None:
        self._client = client
        self._timeouts = timeouts
        self.mails = 0

    @classmethod
    async def open(cls, server: SmtpServer) -> "SmtpSession":
        """Connect, secure and log in; raises NoLoginError, or AnswerError or ConnectionLostError of the phases CONNECT and LOGIN."""
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "implicit",
            start_tls=False,  # done below, step by step; the library's own default falls back to clear text
            tls_context=server.context if server.tls != "none" else None,
            local_hostname=server.greeting_name,
            timeout=server.timeouts.connect,
        )
        try:
            await _connect(client, server)
            await _log_in(client, server)
        except BaseException:
            client.close()
            raise
        return cls(client, server.timeouts)

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands, as far as this side knows."""
        return self._client.is_connected

    async def is_alive(self) -> bool:
        """Ask the server (NOOP)."""
        if not self.is_connected:
            return False
        try:
            return (await self._client.noop(timeout=self._timeouts.connect)).code == SMTPStatus.completed
        except (aiosmtplib.SMTPException, *_LOST):
            return False

    async def send(self, mail: ComposedMail) -> str:
        """One mail to all recipients of its envelope or to none; the server's text. Raises AnswerError, ConnectionLostError."""
        try:
            await self._send_envelope(mail.envelope, len(mail.content))
            text = await self._send_content(mail.content)
        except AnswerError:
            await self._reset()
            raise
        except BaseException:
            self._client.close()
            raise
        self.mails += 1
        return text

    async def close(self) -> None:
        """Say good-bye if the server still listens, and close."""
        try:
            if self.is_connected:
                await self._client.quit(timeout=self._timeouts.connect)
        except (aiosmtplib.SMTPException, *_LOST):
            pass
        finally:
            self._client.close()

    async def _send_envelope(self, envelope: Envelope, size: int) -> None:
        options = [f"SIZE={size}"] if self._client.supports_extension("size") else []
        if envelope.smtputf8:
            if not self._client.supports_extension("smtputf8"):
                raise SmtpUtf8MissingError
            options.append("SMTPUTF8")
        encoding = "utf-8" if envelope.smtputf8 else "ascii"
        timeout = self._timeouts.command
        try:
            await self._client.mail(envelope.sender, options=options, encoding=encoding, timeout=timeout)
            for recipient in envelope.recipients:  # the first refusal ends it: a mail goes to all or to none
                await self._client.rcpt(recipient, encoding=encoding, timeout=timeout)
        except aiosmtplib.SMTPResponseException as error:
            raise AnswerError(error.code, error.message, Phase.ENVELOPE) from error
        except _LOST as error:
            raise ConnectionLostError(_why(error), Phase.ENVELOPE) from error

    async def _send_content(self, content: bytes) -> str:
        try:
            start = await self._client.execute_command(b"DATA", timeout=self._timeouts.command)
        except aiosmtplib.SMTPResponseException as error:
            raise AnswerError(error.code, error.message, Phase.DATA) from error
        except _LOST as error:
            raise ConnectionLostError(_why(error), Phase.DATA) from error
        if start.code != SMTPStatus.start_input:
            raise AnswerError(start.code, start.message, Phase.DATA)
        protocol = self._client.protocol
        if protocol is None:
            raise ConnectionLostError("the server hung up", Phase.DATA)
        try:
            protocol.write(_LEADING_DOT.sub(b"..", content) + b".\r\n")
        except _LOST as error:
            raise ConnectionLostError(_why(error), Phase.DATA) from error
        try:
            end = await protocol.read_response(timeout=self._timeouts.data)
        except (aiosmtplib.SMTPException, *_LOST) as error:
            # From here on the server may have the whole mail; an answer that cannot be read is no answer.
            raise ConnectionLostError(_why(error), Phase.DATA, may_be_accepted=True) from error
        if end.code // 100 in {4, 5}:
            raise AnswerError(end.code, end.message, Phase.DATA)
        if end.code // 100 != 2:
            raise ConnectionLostError(f"it answered {end.code}", Phase.DATA, may_be_accepted=True)
        return end.message

    async def _reset(self) -> None:
        """Make the connection ready for the next mail, or let it go."""
        try:
            await self._client.rset(timeout=self._timeouts.connect)
        except (aiosmtplib.SMTPException, *_LOST):
            self._client.close()


async def _connect(client: aiosmtplib.SMTP, server: SmtpServer) -> None:
    try:
        await client.connect()
        await client.ehlo()
        if server.tls == "starttls":
            await client.starttls(tls_context=server.context)
            await client.ehlo()
    except aiosmtplib.SMTPResponseException as error:
        raise AnswerError(error.code, error.message, Phase.CONNECT) from error
    except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as error:
        raise ConnectionLostError(_why(error), Phase.CONNECT) from error


async def _log_in(client: aiosmtplib.SMTP, server: SmtpServer) -> None:
    if server.username is None:
        return
    try:
        if server.token is not None:
            await client.auth_xoauth2(server.username, await server.token())
        elif server.password is not None:
            await client.login(server.username, await server.password())
    except aiosmtplib.SMTPResponseException as error:
        raise AnswerError(error.code, error.message, Phase.LOGIN) from error
    except _LOST as error:
        raise ConnectionLostError(_why(error), Phase.LOGIN) from error
    except aiosmtplib.SMTPException as error:
        raise NoLoginError from error


def _why(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPTimeoutError | TimeoutError):
        return "no answer in time"
    cause = error.__cause__ if error.__cause__ is not None else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return "the server hung up"
    return str(error)
