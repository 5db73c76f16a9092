"""Mail files to inbound events, offline: what `threadline parse email` prints. Nothing is stored or sent.

Not here: printing, and finding the files.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from threadline_connectors.errors import PayloadError
from threadline_connectors.publishing import describe_raw
from threadline_connectors.said import Content
from threadline_connectors.stamping import Stamp, stamp
from threadline_events.inbound import Connector, InboundEvent

from ingest_email.connectors.email import EmailConnector, ReadMail
from ingest_email.imap.mail import MEDIA_TYPE
from ingest_email.parsing import MailError, ParseContext, ParsedMail, ParserPool
from ingest_email.settings import MailAccount

__all__ = ["OfflineMail", "ReadFile", "parse_files"]

_NOBODY = "parse"
_WORKERS = 2
_SECONDS_A_MAIL = 30.0
_BYTES_A_WORKER = 1 << 30
_UNKNOWN_ORDER = "0" * 20


@dataclass(frozen=True, slots=True)
class OfflineMail:
    """A mail to read: the name it is reported under, and its file or (standard input) its bytes."""

    name: str
    content: Content


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What one file says, or why it says nothing: `error` is a code and a message."""

    name: str
    events: tuple[InboundEvent, ...]
    error: tuple[str, str] | None = None


async def parse_files(
    mails: Iterable[OfflineMail], *, account: MailAccount | None = None, spool: Path, workers: int = _WORKERS
) -> AsyncIterator[ReadFile]:
    """Read mails in order, in processes that can be killed; a bad one is an error of its own and never stops the rest.

    Without an account, account and brand are `parse`. `spool` is a folder of our own, emptied at the end. Memory does not grow
    with the number of mails. Raises WorkerError where the parser's processes cannot work.
    """
    connector = EmailConnector(follow_reply_to=account.form if account is not None else False)
    context = ParseContext(trusted_authserv_id=account.trusted_authserv_id if account is not None else None)
    by = _stamp(account, connector)
    pending: deque[_Pending] = deque()
    pool = ParserPool(workers=workers, time_limit=_SECONDS_A_MAIL, memory_limit=_BYTES_A_WORKER, spool_dir=spool)
    async with pool:
        async for outcome in pool.parse_many(_noted(mails, pending), context):
            waiting = pending.popleft()
            name = waiting.mail.name
            if waiting.problem is not None:
                yield ReadFile(name, (), ("unreadable_file", waiting.problem))
            elif isinstance(outcome, MailError):
                yield ReadFile(name, (), (outcome.code, outcome.message))
            else:
                yield await asyncio.to_thread(_read, waiting.mail, outcome, connector, by)
            if not isinstance(outcome, MailError):
                await pool.release(outcome)


@dataclass(frozen=True, slots=True)
class _Pending:
    mail: OfflineMail
    problem: str | None


def _noted(mails: Iterable[OfflineMail], pending: "deque[_Pending]") -> Iterator[Content]:
    """The mails for the pool, which takes a file that cannot be opened for a fault of the machine: such a one goes as no bytes."""
    for mail in mails:
        problem = _problem(mail.content)
        pending.append(_Pending(mail, problem))
        yield b"" if problem is not None else mail.content


def _problem(content: Content) -> str | None:
    if isinstance(content, bytes):
        return None
    try:
        if not content.is_file():
            return "there is no such file"
        with content.open("rb"):
            return None
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"


def _read(mail: OfflineMail, parsed: ParsedMail, connector: EmailConnector, by: Stamp) -> ReadFile:
    try:
        raw = mail.content if isinstance(mail.content, bytes) else mail.content.read_bytes()
        said = connector.parse(ReadMail(parsed, None, _UNKNOWN_ORDER, raw))
        described = describe_raw(raw, len(raw), MEDIA_TYPE)
        return ReadFile(mail.name, stamp(said, replace(by, raw=described)))
    except PayloadError as error:
        return ReadFile(mail.name, (), (error.code, str(error)))
    except OSError as error:
        return ReadFile(mail.name, (), ("unreadable_file", f"the file cannot be read: {error.strerror}"))


def _stamp(account: MailAccount | None, connector: EmailConnector) -> Stamp:
    return Stamp(
        channel=connector.name,
        account_id=account.id if account is not None else _NOBODY,
        brand=account.brand if account is not None else _NOBODY,
        origin="parse",
        received_at=None,
        intake_id=None,
        connector=Connector(name=connector.name, version=connector.version),
        raw=None,
    )
