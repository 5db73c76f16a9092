"""What the YAML says about a mail account, as far as taking mail in goes; checked before anything connects.

Not here: `smtp`, which only the sender reads.
"""

import ipaddress
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from threadline_connectors.settings import ChannelAccount, OtherHalf
from threadline_events.identity import IdentityError, email_identity
from threadline_runtime.secrets import resolve_secret

__all__ = ["ImapSettings", "MailAccount", "StartAt"]

StartAt = Literal["now", "all"] | date


class ImapSettings(BaseModel):
    """How a mailbox is reached and what is done there.

    `access_token` (XOAUTH2) names a file that something renews: tokens live about an hour, so it is read anew at every connect.
    `mark` changes nothing at the server unless set: `seen`, `keyword` or `move`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    insecure: bool = False
    ca_file: Path | None = None
    username: str = Field(min_length=1)
    password: SecretStr | None = None
    access_token: str | None = Field(default=None, pattern=r"^file:.+")
    folder: str = "INBOX"
    folders: tuple[str, ...] = ()
    start_at: StartAt = "now"
    poll_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    mark: Literal["seen", "keyword", "move"] | None = None
    mark_keyword: str = Field(default="$Threadline", pattern=r"^[!-~]{1,64}$")
    move_to: str | None = None

    @model_validator(mode="after")
    def _make_sense(self) -> "ImapSettings":
        if self.tls == "starttls":
            raise ValueError("the IMAP client has no STARTTLS: use tls: implicit (port 993)")
        if self.tls == "none" and not self.insecure and not _is_loopback(self.host):
            raise ValueError("tls: none sends the password in clear: use implicit, or say insecure: true")
        if (self.password is None) == (self.access_token is None):
            raise ValueError("set exactly one of password and access_token")
        if (self.mark == "move") != (self.move_to is not None):
            raise ValueError("mark: move and move_to go together")
        if self.move_to is not None and self.move_to in self.all_folders:
            raise ValueError("move_to must not be a folder that is read")
        return self

    @property
    def port_number(self) -> int:
        """The port, by default that of the kind of TLS."""
        return self.port or (993 if self.tls == "implicit" else 143)

    def read_secret(self) -> str:
        """The password, or the token as its file holds it now. Raises ConfigurationError."""
        if self.access_token is not None:
            return resolve_secret(self.access_token, {}).get_secret_value()
        return self.password.get_secret_value() if self.password is not None else ""

    @property
    def all_folders(self) -> tuple[str, ...]:
        """Every folder that is read, each once."""
        return tuple(dict.fromkeys(self.folders or (self.folder,)))


class MailAccount(ChannelAccount):
    """A mail account. `trusted_authserv_id`: whose Authentication-Results count; `form`: a website's form mails here."""

    address: str
    trusted_authserv_id: str | None = None
    form: bool = False
    imap: ImapSettings
    smtp: OtherHalf

    @model_validator(mode="after")
    def _address_is_one(self) -> "MailAccount":
        try:
            email_identity(self.address)
        except IdentityError as error:
            raise ValueError(f"address is {error}") from error
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
