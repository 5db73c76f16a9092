"""Follows one folder: everything behind the position, then IDLE (or polling where there is none), then again.

Nothing at the server is changed unless `mark` is configured: folders are opened read-only and bodies fetched by BODY.PEEK.
Not here: the wire (`connection`), fetching whole mails (`fetching`), reading them, storing positions.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from threadline_connectors.errors import AuthError
from threadline_connectors.pollers import Batch, Fetched
from threadline_connectors.said import Content
from threadline_runtime.errors import ConfigurationError

from ingest_email.imap.answers import FetchedItem, Mailbox
from ingest_email.imap.connection import MAX_UIDS, ImapConnection
from ingest_email.imap.fetching import ASSUMED_SIZE, SPOOL_FROM, MailFetcher
from ingest_email.imap.mail import MEDIA_TYPE, MailboxMail
from ingest_email.imap.marking import Marker
from ingest_email.imap.positions import Position, PositionError
from ingest_email.imap.spool import Spool
from ingest_email.settings import ImapSettings

__all__ = ["FolderPoller"]

_IDLE_SECONDS = 270.0
"""Servers and NATs cut idle connections from five minutes on."""
_WINDOW = 10_000
_BATCH_BYTES = 2 * 1024 * 1024


class FolderPoller:
    """The poller of one folder; the password or token is read anew at each connect."""

    def __init__(self, settings: ImapSettings, folder: str, *, spool: Spool, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._folder = folder
        self._fetcher = MailFetcher(folder, spool)
        self._now = now
        self._window = _WINDOW
        self._open: tuple[ImapConnection, Mailbox] | None = None
        self._marker = Marker(settings, folder) if settings.mark is not None else None

    async def start(self) -> str:
        """Where the account's `start_at` begins."""
        connection, box = await self._connected()
        beginning = self._settings.start_at
        if beginning == "all":
            return Position(box.uid_validity, 0, old=box.uid_next).dump()
        if beginning == "now":
            return (await self._start_now(connection, box)).dump()
        midnight = datetime(beginning.year, beginning.month, beginning.day, tzinfo=UTC)
        # A day at the server may begin half a day before or after ours.
        return Position(box.uid_validity, 0, old=box.uid_next, since=beginning, floor=midnight - timedelta(hours=14)).dump()

    async def _start_now(self, connection: ImapConnection, box: Mailbox) -> Position:
        newest = await connection.list_mails([box.uid_next - 1]) if box.uid_next > 1 else []
        floor = next((item.internal_date for item in newest if item.internal_date is not None), None)
        # The server's own clock says what was there before; without a mail to tell it, a day of margin on ours.
        floor = self._believed(floor) if floor is not None else self._now() - timedelta(days=1)
        return Position(box.uid_validity, box.uid_next - 1, old=box.uid_next, floor=floor, newest=floor)

    async def follow(self, position: str) -> AsyncIterator[Batch[MailboxMail]]:
        """Batches from behind `position`, for ever."""
        connection, box = await self._connected()
        at = self._load(position)
        if at.is_void(box):
            at = at.renumbered(box)
            yield Batch((), at.dump())
        while True:
            connection.forget_growth()
            at, uids = await self._waiting(connection, at)
            reached = at
            async for reached, batch in self._batches(connection, at, uids):  # noqa: B007 - the last one is where we are
                yield batch
            at = reached
            if not uids and at.uid + 1 >= at.old:
                yield Batch((), at.dump(), caught_up=True)  # also after a quiet rest: the source was reached and is empty
                await self._rest(connection)

    async def published(self, batch: Batch[MailboxMail]) -> None:
        """Mark what is safe on the bus, where that is configured."""
        uids = [int(one.place[2]) for one in batch.payloads if one.raw != b""]  # one without bytes was never handed over
        if self._marker is not None and uids:
            await self._marker.mark(uids)

    async def close(self) -> None:
        """Drop the connections."""
        if self._open is not None:
            connection, self._open = self._open[0], None
            await connection.close()
        if self._marker is not None:
            await self._marker.close()

    async def check(self) -> int:
        """Log in and enter the folder; how many mails lie there. Raises what `start` raises."""
        _, box = await self._connected()
        await self.close()
        return box.exists

    async def _connected(self) -> tuple[ImapConnection, Mailbox]:
        if self._open is None:
            connection = await self._log_in()
            try:
                # Read-only: the server itself then forbids every change of flags.
                box = await connection.select(self._folder, writable=False)
                if box.uid_next == 0:
                    last = await connection.search("*")
                    box = replace(box, uid_next=max(last, default=0) + 1, is_uid_next_guessed=True)
            except BaseException:
                await connection.close()
                raise
            self._open = (connection, box)
        return self._open

    async def _log_in(self) -> ImapConnection:
        secret = self._settings.read_secret()
        try:
            return await ImapConnection.open(self._settings, secret)
        except AuthError:
            fresh = self._settings.read_secret()
            if self._settings.access_token is None or fresh == secret:
                raise
            return await ImapConnection.open(self._settings, fresh)  # the token was renewed meanwhile

    def _load(self, position: str) -> Position:
        try:
            return Position.load(position)
        except PositionError as error:
            raise ConfigurationError(f"folder {self._folder}: {error}") from error

    async def _waiting(self, connection: ImapConnection, at: Position) -> tuple[Position, list[int]]:
        """The next UIDs behind the position; the old part of a folder is searched in windows, so that no answer grows with the folder."""
        low = at.uid + 1
        if low < at.old:
            high = min(low + self._window, at.old) - 1
            found = await connection.search(f"{low}:{high}", at.since)
            # UIDs may leave gaps of millions: what is empty is crossed in growing steps.
            self._window = _WINDOW if found else self._window * 4
            if not found:
                return at.moved_to(high), []
        else:
            found = await connection.search(f"{low}:*")
        return at, [uid for uid in found if uid >= low]  # `n:*` names the last mail even where its UID is lower

    async def _batches(
        self, connection: ImapConnection, at: Position, uids: Sequence[int]
    ) -> AsyncIterator[tuple[Position, Batch[MailboxMail]]]:
        for start in range(0, len(uids), MAX_UIDS):
            chunk = uids[start : start + MAX_UIDS]
            found = await self._fetcher.list_mails(connection, at.uid_validity, chunk)
            listed = [item for item in found if at.wants(item.uid, item.internal_date)]
            last = start + MAX_UIDS >= len(uids)
            groups = list(_groups(listed))
            for number, group in enumerate(groups, start=1):
                end = number == len(groups)
                fetched = [one async for one in self._fetcher.fetch(connection, at.uid_validity, group)]
                payloads = [self._payload(at, item, content, await _size(content)) for item, content in fetched]
                newest = max((self._believed(item.internal_date) for item in group if item.internal_date is not None), default=None)
                at = at.moved_to(chunk[-1] if end else group[-1].uid, newest)
                oldest = group[0].internal_date
                yield at, Batch(tuple(payloads), at.dump(), caught_up=end and last and at.uid + 1 >= at.old, oldest=oldest)
            if not groups:  # all of it was gone or too old
                at = at.moved_to(chunk[-1])
                yield at, Batch((), at.dump())

    def _believed(self, arrived: datetime) -> datetime:
        # Whoever appends a mail chooses its date; one from the future would hide what comes until then from a rescan.
        return min(arrived, self._now())

    def _payload(self, at: Position, item: FetchedItem, content: Content, size: int) -> Fetched[MailboxMail]:
        order = f"{at.uid_validity:010d}{item.uid:010d}"
        mail = MailboxMail(content, item.internal_date, order)
        again = (at.generation,) if at.generation else ()
        return Fetched((self._folder, at.uid_validity, item.uid, *again), mail, content, size, MEDIA_TYPE)

    async def _rest(self, connection: ImapConnection) -> None:
        if connection.grew:
            return  # announced while we searched; IDLE would not say it again
        if connection.can("IDLE"):
            await connection.idle(_IDLE_SECONDS)
        else:
            await asyncio.sleep(self._settings.poll_seconds)
            await connection.noop()


def _groups(items: Sequence[FetchedItem]) -> Iterator[list[FetchedItem]]:
    """Mails to fetch by one command: small ones together, a large one alone."""
    group: list[FetchedItem] = []
    total = 0
    for item in items:
        size = item.size if item.size is not None else ASSUMED_SIZE
        if group and (total + size > _BATCH_BYTES or size > SPOOL_FROM):
            yield group
            group, total = [], 0
        group.append(item)
        total += size
        if total > _BATCH_BYTES:
            yield group
            group, total = [], 0
    if group:
        yield group


async def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else (await asyncio.to_thread(content.stat)).st_size
