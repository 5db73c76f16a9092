"""Reads fetched mails in the parser's processes and says what they are; a mail that cannot be read is a rejection.

Not here: what a mail says (`connectors.email`) and how it is parsed (`parsing`).
"""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import structlog
from threadline_connectors.errors import PayloadError
from threadline_connectors.pollers import Fetched, Reading
from threadline_connectors.said import Content
from threadline_runtime.errors import TransientError

from ingest_email.connectors.email import EmailConnector, ReadMail
from ingest_email.imap.mail import MailboxMail
from ingest_email.parsing import MailError, ParseContext, ParsedMail, ParserPool, WorkerError

__all__ = ["MailReader"]

_log = structlog.get_logger(__name__)


class MailReader:
    """The reader of one account; the pool is shared by all."""

    def __init__(self, connector: EmailConnector, pool: ParserPool, context: ParseContext) -> None:
        self._connector = connector
        self._pool = pool
        self._context = context

    async def read(self, payloads: Sequence[Fetched[MailboxMail]]) -> Sequence[Reading]:
        """One reading a mail, in order. Raises TransientError where the parser's processes themselves are in trouble."""
        readings: list[Reading] = []
        spooled: set[Path] = set()
        contents = [one.payload.content for one in payloads]
        try:
            async with aclosing(self._pool.parse_many(contents, self._context)) as outcomes:
                async for outcome in outcomes:
                    spooled |= _folders(outcome)
                    readings.append(await self._reading(payloads[len(readings)].payload, outcome))
        except WorkerError as error:
            raise TransientError(f"mails cannot be read: {error}") from error
        finally:
            if len(readings) < len(payloads):  # all of the batch is read again
                for folder in spooled:
                    shutil.rmtree(folder, ignore_errors=True)
        return readings

    async def _reading(self, mail: MailboxMail, outcome: ParsedMail | MailError) -> Reading:
        if isinstance(outcome, MailError):
            return Reading(rejection=PayloadError(outcome.code, outcome.message))
        folders = tuple(_folders(outcome))
        raw = await _bytes(mail.content) if outcome.message_id is None else None
        try:
            said = self._connector.parse(ReadMail(outcome, mail.arrived, mail.order, raw))
        except PayloadError as error:
            return Reading(rejection=error, spooled=folders)
        except Exception as error:  # one mail that we do not understand must not hold up the mailbox
            _log.exception("mail_not_understood")
            return Reading(rejection=PayloadError("connector_fault", type(error).__name__), spooled=folders)
        return Reading(said=said, spooled=folders)


def _folders(outcome: ParsedMail | MailError) -> set[Path]:
    """Where the mail's large attachments stand."""
    if isinstance(outcome, MailError):
        return set()
    return {Path(one.path).parent for one in outcome.attachments if one.path is not None}


async def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else await asyncio.to_thread(content.read_bytes)
