"""Mails as customers write and answer them, and the newest one in a customer's mailbox; for end-to-end tests."""

import email
import itertools
import time
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, localtime, parseaddr

from threadline_runtime.testing.mail_world import MailWorld

__all__ = ["address_of", "answer_to", "mail", "received"]

_numbers = itertools.count(1)


def mail(sender: str, to: str, text: str, *, subject: str = "Where is my order?", **headers: str) -> EmailMessage:
    """A mail with a Message-ID of its own; `Reply_To="..."` and the like set further headers."""
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = sender, to, subject
    made["Date"] = format_datetime(localtime())
    made["Message-ID"] = f"<{next(_numbers)}.{time.time_ns()}@client.test>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


def answer_to(answered: EmailMessage, sender: str, text: str) -> EmailMessage:
    """As a mail client answers: to Reply-To, threaded on Message-ID and References."""
    references = f"{answered['References'] or ''} {answered['Message-ID']}".strip()
    to = str(answered["Reply-To"] or answered["From"])
    return mail(sender, to, text, subject=f"Re: {answered['Subject']}", In_Reply_To=str(answered["Message-ID"]), References=references)


def received(world: MailWorld, user: str, count: int = 1) -> EmailMessage:
    """The newest of `count` mails in a user's mailbox."""
    return email.message_from_bytes(world.wait_for(user, count)[-1], policy=policy.SMTP)


def address_of(message: EmailMessage, header: str) -> str:
    """The address alone."""
    return parseaddr(str(message[header]))[1]
