"""Marks mails at the server after they are safe, only where the account says so; over a connection of its own.

Not here: when a mail is safe; the poller's host knows.
"""

from collections.abc import Sequence

from threadline_connectors.errors import RetryableError

from ingest_email.imap.connection import MAX_UIDS, ImapConnection
from ingest_email.settings import ImapSettings

__all__ = ["Marker"]


class Marker:
    """Sets `\\Seen`, a keyword, or moves mails away. The followed folder itself stays open read-only elsewhere."""

    def __init__(self, settings: ImapSettings, folder: str) -> None:
        self._settings = settings
        self._folder = folder
        self._connection: ImapConnection | None = None
        self._keywords = False

    async def mark(self, uids: Sequence[int]) -> None:
        """Mark these mails; a keyword that the server would not keep is left out. Raises what the connection raises."""
        rested = self._connection is not None
        try:
            await self._mark(uids)
        except RetryableError:
            await self.close()
            if not rested:
                raise
            await self._mark(uids)  # servers close a connection that rests between two mails

    async def _mark(self, uids: Sequence[int]) -> None:
        connection = await self._connected()
        for start in range(0, len(uids), MAX_UIDS):
            some = uids[start : start + MAX_UIDS]
            if self._settings.mark == "seen":
                await connection.mark(some, "\\Seen")
            elif self._settings.mark == "keyword" and self._keywords:
                await connection.mark(some, self._settings.mark_keyword)
            elif self._settings.mark == "move" and self._settings.move_to is not None:
                await connection.move(some, self._settings.move_to)

    async def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _connected(self) -> ImapConnection:
        if self._connection is None:
            connection = await ImapConnection.open(self._settings, self._settings.read_secret())
            try:
                self._keywords = (await connection.select(self._folder, writable=True)).keywords
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection
