"""A small world of real mail: two brands, two customers, one Dovecot and one Postfix that know each other."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from types import MappingProxyType

from threadline_runtime.testing.dovecot import Dovecot, require_dovecot
from threadline_runtime.testing.ports import LOOPBACK
from threadline_runtime.testing.postfix import Postfix, require_postfix

SUPPORT = "support@acme.test"
SALES = "sales@acme.test"
OTHER_BRAND = "support@globex.test"
ANN = "ann@client.test"
BOB = "bob@client.test"

USERS: Mapping[str, str] = MappingProxyType(
    {address: f"{address.partition('@')[0]}-secret" for address in (SUPPORT, SALES, OTHER_BRAND, ANN, BOB)}
)
"""Login, which is the address, to password."""

_POLL_SECONDS = 0.05

__all__ = ["ANN", "BOB", "OTHER_BRAND", "SALES", "SUPPORT", "USERS", "MailWorld", "mail_world"]


@dataclass(frozen=True, slots=True)
class MailWorld:
    """Both servers, running. Mail to one of `USERS`, with or without `+detail`, lands in that user's INBOX."""

    dovecot: Dovecot
    postfix: Postfix

    def send(self, mail: EmailMessage | bytes, sender: str, recipients: Sequence[str]) -> None:
        """Send by SMTP without a login, as another company's mail server would; `bytes` go out as they are."""
        raw = mail if isinstance(mail, bytes) else mail.as_bytes()
        with smtplib.SMTP(LOOPBACK, self.postfix.ports.smtp, timeout=30) as client:
            client.sendmail(sender, list(recipients), raw, mail_options=["BODY=8BITMIME"])

    def wait_for(self, user: str, count: int = 1, folder: str = "INBOX", within: float = 10.0) -> list[bytes]:
        """The mails of a folder once it holds at least `count`. Raises TimeoutError with what Postfix said."""
        deadline = time.monotonic() + within
        while len(self.dovecot.flags(user, folder)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{user} has no {count} mails in {folder}:\n{self.postfix.log_tail()}")
            time.sleep(_POLL_SECONDS)
        return self.dovecot.messages(user, folder)

    def reset(self) -> None:
        """Start what was stopped, put passwords back and empty every mailbox."""
        for server in (self.dovecot, self.postfix):
            if not server.running:
                server.start()
        for user, password in USERS.items():
            if self.dovecot.users[user] != password:
                self.dovecot.set_password(user, password)
            self.dovecot.disconnect(user)
            self.dovecot.empty(user)


@contextmanager
def mail_world() -> Iterator[MailWorld]:
    """Start both servers, and end and remove them at the end. Skips the test where a server is missing."""
    require_dovecot()
    require_postfix()
    with Dovecot(USERS) as dovecot, Postfix(dovecot) as postfix:
        yield MailWorld(dovecot, postfix)
