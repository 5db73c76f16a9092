"""One IMAP connection over aioimaplib that always answers or raises: every call has a time limit and ends when the connection does.

After a timeout, a cancel or an error the connection is broken for good and is thrown away, since aioimaplib would leave the next command
waiting behind the lost one. Not here: which mails are wanted (`folder_poller`).
"""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine, Sequence
from datetime import date, timedelta
from typing import Any

from aioimaplib import SELECTED, AioImapException
from threadline_connectors.errors import AuthError, RetryableError
from threadline_runtime.errors import ConfigurationError

from ingest_email.imap.answers import FetchedItem, Line, Mailbox, Refusal, read_fetch, read_mailbox, read_search, refusal_of, search_date
from ingest_email.imap.names import encode_mailbox, quote
from ingest_email.imap.protocol import MailClient
from ingest_email.settings import ImapSettings

__all__ = ["MAX_UIDS", "ImapConnection"]

MAX_UIDS = 100
"""aioimaplib recurses once a response line, so no command may answer with more than a few hundred."""

_CONNECT = 20.0
_COMMAND = 30.0
_LEAVE = 10.0
_SLOWEST_BYTES_A_SECOND = 16 * 1024
_BUSY_WAIT = timedelta(seconds=60)


class ImapConnection:
    """Made by `open`; not shared by tasks."""

    def __init__(self, settings: ImapSettings) -> None:
        self._settings = settings
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = MailClient(
            settings.host, settings.port_number, timeout=_CONNECT, conn_lost_cb=self._on_lost, ssl_context=_ssl_context(settings)
        )
        self._broken = False

    @classmethod
    async def open(cls, settings: ImapSettings, secret: str) -> "ImapConnection":
        """Connect and log in. Raises AuthError, RetryableError, ConfigurationError."""
        connection = cls(settings)
        try:
            await connection._connect()
            await connection._log_in(secret)
        except BaseException:
            await connection.close()
            raise
        return connection

    def can(self, capability: str) -> bool:
        """Whether the server has a capability."""
        return bool(self._client.has_capability(capability))

    @property
    def grew(self) -> bool:
        """Whether the server announced mail since `forget_growth`."""
        return bool(self._client.protocol.grew)

    def forget_growth(self) -> None:
        """Called before a search, so that only what came after it counts as growth."""
        self._client.protocol.grew = False

    async def select(self, folder: str, *, writable: bool) -> Mailbox:
        """Enter a folder; read-only means that the server itself forbids any change. Raises ConfigurationError where there is none."""
        name = encode_mailbox(folder)
        lines = await self._call(
            "SELECT" if writable else "EXAMINE", self._client.select(name) if writable else self._client.examine(name), folder
        )
        self._client.protocol.state = SELECTED  # aioimaplib knows SELECT only
        try:
            return read_mailbox(lines)
        except ValueError as error:
            raise ConfigurationError(f"folder {folder}: {error}") from error

    async def search(self, uids: str, since: date | None = None) -> list[int]:
        """UIDs in a range (`5:*`), of a day or later; ascending."""
        criteria = ["UID", uids, *(("SINCE", search_date(since)) if since is not None else ())]
        # No CHARSET: Exchange and Yahoo refuse it, and these criteria are ASCII.
        return read_search(await self._call("SEARCH", self._client.protocol.search(*criteria, charset=None, by_uid=True)))

    async def list_mails(self, uids: Sequence[int]) -> list[FetchedItem]:
        """Size and INTERNALDATE of at most 100 mails; what is gone is left out."""
        return await self._fetch(uids, "(UID RFC822.SIZE INTERNALDATE)", 0)

    async def fetch_mails(self, uids: Sequence[int], size: int) -> dict[int, bytes]:
        """The mails themselves, untouched and unmarked; what is gone is left out. `size` is what they have together."""
        return {item.uid: item.body for item in await self._fetch(uids, "(UID BODY.PEEK[])", size) if item.body is not None}

    async def fetch_piece(self, uid: int, start: int, length: int) -> bytes | None:
        """A piece of one mail, empty behind its end; None where the server gives none."""
        items = await self._fetch([uid], f"(UID BODY.PEEK[]<{start}.{length}>)", length)
        return next((item.body for item in items if item.body is not None), None)

    async def _fetch(self, uids: Sequence[int], what: str, size: int) -> list[FetchedItem]:
        if not 0 < len(uids) <= MAX_UIDS:
            raise ValueError(f"one FETCH takes 1 to {MAX_UIDS} mails")
        names = ",".join(str(uid) for uid in uids)
        command = self._client.protocol.fetch(names, what, by_uid=True, timeout=None)
        wanted = set(uids)
        lines = await self._call("FETCH", command, seconds=_COMMAND + size / _SLOWEST_BYTES_A_SECOND)
        return [item for item in read_fetch(lines) if item.uid in wanted]

    async def mark(self, uids: Sequence[int], flag: str) -> None:
        """Add a flag or keyword."""
        await self._call("STORE", self._client.uid("store", _set(uids), "+FLAGS.SILENT", f"({flag})"))

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move mails to another folder, never by a plain EXPUNGE, which would take along what others deleted."""
        name = encode_mailbox(folder)
        if self.can("MOVE"):
            await self._call("MOVE", self._client.uid("move", _set(uids), name), folder)
            return
        if not self.can("UIDPLUS"):
            raise ConfigurationError(f"{self._where} has neither MOVE nor UIDPLUS: use mark: seen instead of mark: move")
        await self._call("COPY", self._client.uid("copy", _set(uids), name), folder)
        await self.mark(uids, "\\Deleted")
        await self._call("EXPUNGE", self._client.uid("expunge", _set(uids)))

    async def noop(self) -> None:
        """Ask for news where there is no IDLE, and keep the connection open."""
        await self._call("NOOP", self._client.noop())

    async def idle(self, seconds: float) -> None:
        """Wait until the folder grew, at most `seconds`."""
        protocol = self._client.protocol
        while not protocol.idle_queue.empty():
            protocol.idle_queue.get_nowait()
        leaving = await self._guard("IDLE", self._client.idle_start(timeout=seconds + _LEAVE), _LEAVE)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self.grew and not leaving.done() and (remaining := deadline - loop.time()) > 0:
            await self._wait_push(protocol.idle_queue, leaving, remaining)
        if not leaving.done():
            self._client.idle_done()
        response = await self._guard("IDLE", _finish(leaving), _LEAVE)
        self._check("IDLE", response, None)

    async def _wait_push(self, pushes: "asyncio.Queue[Any]", leaving: "asyncio.Future[Any]", seconds: float) -> None:
        push = asyncio.ensure_future(pushes.get())
        try:
            await asyncio.wait({push, leaving, self._lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._broken = True
            raise
        finally:
            push.cancel()
        self._raise_if_lost()

    async def close(self) -> None:
        """Log out if that is quick, then drop the connection and every task that aioimaplib left behind."""
        protocol = self._client.protocol
        if not self._broken and not self._lost.done() and protocol.transport is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2.0):
                    await self._client.logout()
        self._broken = True
        leftovers = {self._client.connecting, *self._client.tasks, *protocol.tasks}
        for task in leftovers:
            task.cancel()
        await asyncio.gather(*leftovers, return_exceptions=True)
        if protocol.transport is not None:
            protocol.transport.abort()
        if not self._lost.done():
            self._lost.cancel()

    async def _connect(self) -> None:
        try:
            await self._guard("greeting", self._client.wait_hello_from_server(), _CONNECT)
        except ssl.SSLCertVerificationError as error:
            why = f"{error.verify_message}; set ca_file for a private authority"
            raise ConfigurationError(f"{self._where}: the certificate is not trusted: {why}") from error
        except ssl.SSLError as error:
            raise ConfigurationError(f"{self._where} does not speak TLS here ({error.reason}); check port and tls") from error
        except OSError as error:
            raise RetryableError(f"{self._where} cannot be reached: {error.strerror or type(error).__name__}") from error

    async def _log_in(self, secret: str) -> None:
        client, settings = self._client, self._settings
        if client.get_state() != "AUTH":  # PREAUTH needs no login
            if settings.access_token is not None:
                response = await self._guard("AUTHENTICATE", client.xoauth2(settings.username, secret), _COMMAND)
            else:
                if self.can("LOGINDISABLED"):
                    raise ConfigurationError(f"{self._where} takes no password without TLS: use tls: implicit")
                response = await self._guard("LOGIN", client.login(quote(settings.username), secret), _COMMAND)
            self._check_login(response)
        # Only the list from before the login was read, and it lacks IDLE, MOVE and more.
        await self._guard("CAPABILITY", client.protocol.capability(), _COMMAND)

    def _check_login(self, response: Any) -> None:
        if response.result == "OK":
            return
        refusal, code = refusal_of(response.lines)
        self._broken = True
        if refusal is Refusal.BUSY:
            raise RetryableError(f"{self._where} takes no login now", code=code, retry_after=_BUSY_WAIT)
        what = "access_token" if self._settings.access_token is not None else "password"
        raise AuthError(f"{self._where} refuses the login: check username and {what}", code=code)

    async def _call(
        self, name: str, command: Coroutine[Any, Any, Any], folder: str | None = None, *, seconds: float = _COMMAND
    ) -> list[Line]:
        response = await self._guard(name, command, seconds)
        self._check(name, response, folder)
        return list(response.lines)

    def _check(self, name: str, response: Any, folder: str | None) -> None:
        if response.result == "OK":
            return
        refusal, code = refusal_of(response.lines)
        if folder is not None and refusal is not Refusal.BUSY:
            raise ConfigurationError(f"{self._where}: no folder {folder} to use ({name} was refused); check folder names")
        raise RetryableError(f"{self._where} refused {name}", code=code, retry_after=_BUSY_WAIT if refusal is Refusal.BUSY else None)

    async def _guard(self, name: str, command: Coroutine[Any, Any, Any], seconds: float) -> Any:
        """The result of a call, or RetryableError when it takes too long or the connection ends; then the connection is broken."""
        if self._broken:
            command.close()
            raise RetryableError(f"{self._where}: the connection is broken")
        task = asyncio.ensure_future(command)
        try:
            await asyncio.wait({task, self._lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self._raise_if_lost()
            raise RetryableError(f"{self._where} did not answer {name} within {seconds:.0f} s")
        except (AioImapException, TimeoutError) as error:
            self._broken = True
            raise RetryableError(f"{self._where}: {name} failed ({type(error).__name__})") from error
        except BaseException:
            self._broken = True
            raise
        finally:
            if not task.done():
                task.cancel()

    def _raise_if_lost(self) -> None:
        if self._lost.done():
            self._broken = True
            raise RetryableError(f"{self._where} closed the connection")

    def _on_lost(self, _: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(None)

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port_number}"


async def _finish(waiting: "asyncio.Future[Any]") -> Any:
    return await waiting


def _set(uids: Sequence[int]) -> str:
    return ",".join(str(uid) for uid in uids)


def _ssl_context(settings: ImapSettings) -> ssl.SSLContext | None:
    if settings.tls == "none":
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigurationError(f"ca_file {settings.ca_file} cannot be read") from error
