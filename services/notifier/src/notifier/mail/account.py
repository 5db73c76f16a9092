"""A mail account as the notifier reads it from the configuration, and the mail server it logs in at.

Not here: `imap`, which only the connector reads.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from threadline_connectors.errors import AuthError
from threadline_connectors.settings import ChannelAccount, OtherHalf
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.secrets import resolve_secret

from notifier.domain.rates import Limits
from notifier.mail.addresses import envelope_address
from notifier.mail.headers import UnsendableMailError
from notifier.mail.smtp import SmtpServer

__all__ = ["EmailAccount", "SmtpSettings", "smtp_server"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"implicit": 465, "starttls": 587, "none": 25}
_THREAD_PER_MINUTE = 20


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
