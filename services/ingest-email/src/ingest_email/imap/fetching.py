"""Fetches mails whole: tells what was deleted meanwhile from what the server only does not hand over now.

A mail that is still in the folder is never passed over: the round ends and another asks again, so many times; after that the mail is taken
without its bytes, which is a rejection on record, and the folder goes on. Not here: which mails are wanted (`folder_poller`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from threadline_connectors.errors import RetryableError
from threadline_connectors.said import Content

from ingest_email.imap.answers import FetchedItem
from ingest_email.imap.connection import ImapConnection
from ingest_email.imap.spool import Spool

__all__ = ["ASSUMED_SIZE", "SPOOL_FROM", "MailFetcher"]

SPOOL_FROM = 5 * 1024 * 1024
"""Mails above this are fetched in pieces into a file."""
ASSUMED_SIZE = 64 * 1024
"""Of a mail whose size the server does not tell."""
_PIECE = 1024 * 1024
_MAILS_A_COMMAND = 32
"""aioimaplib goes through all lines of an answer again with each line: many small answers cost less than a long one."""
_PATIENCE = 8
"""Rounds; with their growing waits a few minutes."""


class MailFetcher:
    """Fetches from one folder, over one connection after the other; it remembers what was not handed over."""

    def __init__(self, folder: str, spool: Spool) -> None:
        self._folder = folder
        self._spool = spool
        self._asked: Counter[tuple[int, int]] = Counter()

    async def list_mails(self, connection: ImapConnection, validity: int, uids: Sequence[int]) -> list[FetchedItem]:
        """Size and INTERNALDATE of each mail that is still there, ascending."""
        listed: dict[int, FetchedItem] = {}
        for item in await connection.list_mails(uids):
            if item.uid not in listed or item.size is not None:  # a change of flags told beside it names the UID once more
                listed[item.uid] = item
        for uid in await self._given_up(connection, validity, [uid for uid in uids if uid not in listed]):
            listed[uid] = FetchedItem(uid, None, None, None)
        return [listed[uid] for uid in sorted(listed)]

    async def fetch(
        self, connection: ImapConnection, validity: int, group: Sequence[FetchedItem]
    ) -> AsyncIterator[tuple[FetchedItem, Content]]:
        """The mails of a group that are still there, in order; a large one comes alone and as a file."""
        if (group[0].size or 0) > SPOOL_FROM:
            content = await self._spooled(connection, validity, group[0])
            if content is not None:
                yield group[0], content
            return
        for start in range(0, len(group), _MAILS_A_COMMAND):
            some = group[start : start + _MAILS_A_COMMAND]
            size = sum(item.size or ASSUMED_SIZE for item in some)
            bodies = await connection.fetch_mails([item.uid for item in some], size)
            missing = [item.uid for item in some if item.uid not in bodies]
            bodies |= dict.fromkeys(await self._given_up(connection, validity, missing), b"")
            for item in some:
                if item.uid in bodies:
                    yield item, bodies[item.uid]

    async def _given_up(self, connection: ImapConnection, validity: int, missing: Sequence[int]) -> list[int]:
        """Of mails that did not come, those that lie in the folder and were asked for often enough; raises while one was not."""
        if not missing:
            return []
        there = sorted(set(await connection.search(",".join(map(str, missing)))) & set(missing))
        for uid in there:
            self._asked[validity, uid] += 1
            if self._asked[validity, uid] <= _PATIENCE:
                raise RetryableError(f"folder {self._folder}: the server does not hand over the mail with UID {uid}")
        return there

    async def _spooled(self, connection: ImapConnection, validity: int, item: FetchedItem) -> Content | None:
        """A large mail as a file; None where it is gone, no bytes where it was given up."""
        path = self._spool.new_file()
        whole = False
        try:
            whole = await self._in_pieces(connection, item, path)
            if whole:
                return path
        finally:
            if not whole:
                await asyncio.to_thread(path.unlink, missing_ok=True)
        return b"" if await self._given_up(connection, validity, [item.uid]) else None

    async def _in_pieces(self, connection: ImapConnection, item: FetchedItem, path: Path) -> bool:
        """Whether the server gave the mail to its end. A short piece is not the end while bytes are missing."""
        start = 0
        while (piece := await connection.fetch_piece(item.uid, start, _PIECE)) is not None:
            await asyncio.to_thread(_append, path, piece)
            start += len(piece)
            if not piece or (len(piece) < _PIECE and start >= (item.size or 0)):
                return start > 0
        return False


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
