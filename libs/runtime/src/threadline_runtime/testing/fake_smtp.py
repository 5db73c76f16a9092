"""An SMTP server that fails as it is told to, for what no real server does on demand; deliveries go by `postfix.py`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import threading
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.ports import LOOPBACK, free_port

Tls: TypeAlias = Literal["none", "starttls", "implicit"]

__all__ = ["FakeSmtp", "Fate", "ReceivedMail", "Step", "Tls"]


class Fate(Enum):
    """What becomes of one mail."""

    ACCEPT = "accept"
    REFUSE_SENDER = "answer `reply` to MAIL FROM"
    REFUSE_RECIPIENT = "answer `reply` to RCPT TO"
    REFUSE_DATA = "answer `reply` at the end of DATA"
    STALL_AFTER_DATA = "take the mail and never answer"
    DROP_AFTER_DATA = "take the mail and close before the answer"
    DROP_UNTAKEN = "close at the end of DATA without taking the mail"
    DROP_AFTER_ACCEPT = "take the mail, answer 250 and close"


@dataclass(frozen=True, slots=True)
class Step:
    """The fate of the next mail, and the SMTP reply where the fate has one."""

    fate: Fate = Fate.ACCEPT
    reply: str = "451 4.3.0 Try again later"


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """A mail the server took, and who was logged in."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    login: str | None


@dataclass(slots=True)
class _Script:
    logins: Mapping[str, str]
    tokens: Mapping[str, str]
    steps: deque[Step] = field(default_factory=deque)
    received: list[ReceivedMail] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def step(self) -> Step:
        return self.steps[0] if self.steps else Step()

    def finish(self) -> None:
        if self.steps:
            self.steps.popleft()

    def take(self, mail: ReceivedMail) -> None:
        with self.arrived:
            self.received.append(mail)
            self.arrived.notify_all()


class _Controller(Controller):
    def factory(self) -> SMTP:
        with warnings.catch_warnings():
            # aiosmtpd knows of STARTTLS only and warns of a login under implicit TLS.
            warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
            server: SMTP = super().factory()  # type: ignore[no-untyped-call]
            return server


class FakeSmtp:
    """Listens on a loopback port in a thread of its own. Use it as a context manager.

    `logins` are user and password, `tokens` user and XOAUTH2 token; with either, mail needs a login.
    """

    def __init__(
        self,
        certificates: Certificates,
        *,
        tls: Tls = "none",
        logins: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self._script = _Script(dict(logins or {}), dict(tokens or {}))
        context = certificates.server_context()
        needs_login = bool(logins or tokens)
        self._controller = _Controller(
            _Handler(self._script),
            hostname=self.host,
            port=self.port,
            ssl_context=context if tls == "implicit" else None,
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            auth_required=needs_login,
            auth_require_tls=tls == "starttls",
            authenticator=self._check_password,
            auth_exclude_mechanism=() if needs_login else ("LOGIN", "PLAIN", "XOAUTH2"),
            decode_data=False,
            enable_SMTPUTF8=True,
        )

    def __enter__(self) -> FakeSmtp:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def received(self) -> list[ReceivedMail]:
        """What the server took, in order."""
        return list(self._script.received)

    def script(self, *steps: Step) -> None:
        """The fates of the next mails, one each; after the last every mail is accepted."""
        self._script.steps.extend(steps)

    def wait_for(self, count: int, within: float = 10.0) -> list[ReceivedMail]:
        """What the server took once that is at least `count`. Raises TimeoutError. Blocks: call it off the loop."""
        with self._script.arrived:
            if not self._script.arrived.wait_for(lambda: len(self._script.received) >= count, within):
                raise TimeoutError(f"{len(self._script.received)} mails came, not {count}")
            return list(self._script.received)

    def _check_password(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword) -> AuthResult:
        user, password = data.login.decode(), data.password.decode()
        known = self._script.logins.get(user) == password
        return AuthResult(success=known, handled=False, auth_data=user)


class _Handler:
    """aiosmtpd's hooks, whose names it fixes."""

    def __init__(self, script: _Script) -> None:
        self._script = script

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        step = self._script.step()
        if step.fate is Fate.REFUSE_SENDER:
            self._script.finish()
            return step.reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        step = self._script.step()
        if step.fate is Fate.REFUSE_RECIPIENT:
            self._script.finish()
            return step.reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        step = self._script.step()
        self._script.finish()
        if step.fate is Fate.REFUSE_DATA:
            return step.reply
        if step.fate is not Fate.DROP_UNTAKEN:
            self._script.take(_as_received(session, envelope))
        if step.fate is Fate.STALL_AFTER_DATA:
            await asyncio.Event().wait()
        if step.fate in {Fate.DROP_AFTER_DATA, Fate.DROP_UNTAKEN}:
            _transport(server).abort()
        if step.fate is Fate.DROP_AFTER_ACCEPT:
            await server.push("250 2.0.0 OK")
            _transport(server).close()
        return "250 2.0.0 OK"

    async def auth_XOAUTH2(self, _server: SMTP, arguments: list[str]) -> AuthResult:  # noqa: N802
        login = _read_xoauth2(arguments[1]) if len(arguments) > 1 else None
        known = login is not None and self._script.tokens.get(login[0]) == login[1]
        return AuthResult(success=known, handled=False, auth_data=login[0] if login else None)


def _transport(server: SMTP) -> asyncio.Transport:
    if not isinstance(server.transport, asyncio.Transport):
        raise TypeError("the client hung up first")
    return server.transport


def _as_received(session: Session, envelope: Envelope) -> ReceivedMail:
    login: object = session.auth_data
    content = envelope.content if isinstance(envelope.content, bytes) else b""
    return ReceivedMail(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, login if isinstance(login, str) else None)


def _read_xoauth2(argument: str) -> tuple[str, str] | None:
    try:
        fields = base64.b64decode(argument, validate=True).decode().split("\x01")
    except (binascii.Error, UnicodeDecodeError):
        return None
    values = dict(part.partition("=")[::2] for part in fields if part)
    return values.get("user", ""), values.get("auth", "").removeprefix("Bearer ")
