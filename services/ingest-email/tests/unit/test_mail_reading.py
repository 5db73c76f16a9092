"""What was read is either handed over or cleaned up: a broken machine or a stopped source leaves no files behind."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from ingest_email.connectors.email import EmailConnector
from ingest_email.imap.mail import MailboxMail
from ingest_email.parsing import MailError, ParseContext, ParsedMail, WorkerError, parse_mail
from ingest_email.reading import MailReader
from threadline_connectors.pollers import Fetched
from threadline_runtime.errors import TransientError

MAIL = (
    b"From: ann@client.test\r\nMessage-ID: <1@client.test>\r\nContent-Type: application/pdf; name=a.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n"
)
FETCHED = Fetched(("INBOX", 7, 1), MailboxMail(MAIL, None, "1"), MAIL, len(MAIL), "message/rfc822")


class BrokenPool:
    """Reads one mail with its attachment in a file, then fails or hangs."""

    def __init__(self, folder: Path, error: Exception | None) -> None:
        self.folder = folder
        self.error = error
        self.first_read = asyncio.Event()

    async def parse_many(self, _: Iterable[bytes | Path], context: ParseContext) -> AsyncGenerator[ParsedMail | MailError, None]:
        parsed = parse_mail(MAIL, context=context)
        self.folder.mkdir()
        (self.folder / "a").write_bytes(b"%PDF-")
        (attachment,) = parsed.attachments
        yield replace(parsed, attachments=(replace(attachment, payload=None, path=str(self.folder / "a")),))
        self.first_read.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


def reader(pool: BrokenPool) -> MailReader:
    return MailReader(EmailConnector(), pool, ParseContext())  # type: ignore[arg-type] # only what it uses


async def test_a_fault_in_the_middle_of_a_batch_leaves_no_files(tmp_path):
    """A full disk must not be filled further by each try."""
    pool = BrokenPool(tmp_path / "mail-1", WorkerError("disk full"))
    with pytest.raises(TransientError):
        await reader(pool).read([FETCHED, FETCHED])
    assert not pool.folder.exists()


async def test_a_cancel_in_the_middle_of_a_batch_leaves_no_files(tmp_path):
    """The connection broke while mails were read: they come again, and what was read of them goes."""
    pool = BrokenPool(tmp_path / "mail-1", None)
    task = asyncio.create_task(reader(pool).read([FETCHED, FETCHED]))
    await pool.first_read.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not pool.folder.exists()
