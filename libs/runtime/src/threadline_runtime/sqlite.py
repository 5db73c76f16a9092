"""One SQLite file: one writer thread with group commit, and a few reader connections.

Not here: tables (each store brings its own), retries (the caller knows whether a write may be repeated).
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from threadline_runtime.errors import ConfigurationError, TransientError

__all__ = ["MEMORY", "SqliteDatabase"]

T = TypeVar("T")
MEMORY = ":memory:"
_GROUP = 1000
_READERS = 2
_BUSY_MS = 10_000
# The system's own cache of the file stands behind these; they are private memory, once a connection.
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 4096
_FORMAT = 1  # raise it with every change that an older or newer release would misread

_FULL = {sqlite3.SQLITE_FULL}
_WAIT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class _Call:
    """One function to run and the future that waits for its answer."""

    __slots__ = ("error", "future", "run", "value")

    def __init__(self, run: Callable[[sqlite3.Connection], Any], future: "asyncio.Future[Any]") -> None:
        self.run = run
        self.future = future
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Answer the caller, unless it was cancelled meanwhile; runs in the loop's thread."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


_Queue = SimpleQueue[list[_Call] | None]


def _settle_all(calls: list[_Call]) -> None:
    for call in calls:
        call.settle()


def _answer(calls: list[_Call]) -> None:
    """Wake the loop once for the whole group."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in calls:
        by_loop.setdefault(call.future.get_loop(), []).append(call)
    for loop, mine in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(_settle_all, mine)


class SqliteDatabase:
    """A SQLite file shared by everything in one process.

    `write` and `read` are called from the event loop. A function given to them runs in another thread with a
    connection that is inside a transaction: it may execute statements and must not commit, roll back or call
    `executescript` (which commits). It should return in a few milliseconds, as all writes of the file wait for it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._writes: _Queue = SimpleQueue()
        self._reads: _Queue = self._writes if path == MEMORY else SimpleQueue()
        self._pending: list[_Call] = []
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._looker: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: str | Path) -> "SqliteDatabase":
        """Open or create the file (its folder must exist); raises ConfigurationError where that cannot be.

        `":memory:"` gives a database of its own that ends with `close`.
        """
        database = cls(str(path))
        database._start()
        return database

    @property
    def path(self) -> str:
        """Where the file lies."""
        return self._path

    async def write(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run `run` in a savepoint and return its value once the commit is on disk.

        Calls that come while a commit runs share the next one. What `run` raises undoes only its own changes.
        Raises TransientError when the disk is full, the file is locked or cannot be written: nothing was stored.
        A cancelled caller does not learn whether its change was stored.
        """
        call = self._call(run)
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(call)
        return await call.future  # type: ignore[no-any-return]

    async def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run `run` in a read transaction: all its statements see one state, which holds every write that was answered."""
        call = self._call(run)
        self._reads.put([call])
        return await call.future  # type: ignore[no-any-return]

    async def look(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """The same in the loop's own thread: for a few rows by key, which take less time than the way to a thread and back.

        Nothing waits in there: where SQLite would, and in memory, where one connection is all there is, it becomes a `read`.
        """
        if self._looker is None or self._closed:
            return await self.read(run)
        call = _Call(run, asyncio.get_running_loop().create_future())
        _read_one(self._looker, call, self._path)
        if isinstance(call.error, TransientError):
            return await self.read(run)
        call.settle()
        return await call.future  # type: ignore[no-any-return]

    async def probe(self) -> None:
        """Ask the writer; raises what a write would raise."""
        await self.write(lambda connection: connection.execute("CREATE TABLE IF NOT EXISTS runtime_probe (at TEXT)").rowcount)

    async def close(self) -> None:
        """Finish what was asked for, then let go of the file. A second call does nothing."""
        if self._closed:
            return
        self._flush()
        self._closed = True
        self._writes.put(None)
        if self._reads is not self._writes:
            for _ in range(_READERS):
                self._reads.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        if self._looker is not None:
            self._looker.close()

    def _call(self, run: Callable[[sqlite3.Connection], Any]) -> _Call:
        if self._closed:
            raise TransientError(f"the database {self._path} is closed")
        return _Call(run, asyncio.get_running_loop().create_future())

    def _flush(self) -> None:
        """Hand over what one turn of the loop gathered: one wake-up of the writer for all of it."""
        calls, self._pending = self._pending, []
        if calls:
            self._writes.put(calls)

    def _start(self) -> None:
        try:
            writer = self._connect(read_only=False)
            readers = [self._connect(read_only=True) for _ in range(0 if self._path == MEMORY else _READERS)]
            self._looker = None if self._path == MEMORY else self._connect(read_only=True, busy_ms=0)
        except sqlite3.Error as error:
            if _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise ConfigurationError(f"{self._path} is held by another process: stop it first") from error
            raise ConfigurationError(f"cannot open {self._path}: {_why(error, self._path)}") from error
        except OSError as error:
            raise ConfigurationError(f"cannot open {self._path}: {error.strerror}") from error
        self._threads = [threading.Thread(target=self._write_loop, args=(writer,), name="sqlite-writer", daemon=True)]
        for reader in readers:
            self._threads.append(threading.Thread(target=self._read_loop, args=(reader,), name="sqlite-reader", daemon=True))
        for thread in self._threads:
            thread.start()

    def _connect(self, *, read_only: bool, busy_ms: int | None = None) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=(_BUSY_MS if busy_ms is None else busy_ms) / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA cache_size=-{_READER_CACHE_KIB if read_only else _WRITER_CACHE_KIB}")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA journal_size_limit=67108864")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        elif self._path != MEMORY:
            Path(self._path).chmod(0o600)
            _settle_format(connection, self._path)
        return connection

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        ended = False
        while not ended:
            group, ended = _gather(self._writes)
            if group:
                _commit_group(connection, group, self._path)
                _answer(group)
        connection.close()

    def _read_loop(self, connection: sqlite3.Connection) -> None:
        while (calls := self._reads.get()) is not None:
            for call in calls:
                _read_one(connection, call, self._path)
            _answer(calls)
        connection.close()


def _settle_format(connection: sqlite3.Connection, path: str) -> None:
    """Mark a new file with the format of its tables; raises ConfigurationError for a file of another format.

    Without it, tables that changed their names would show an empty timeline instead of an error.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == _FORMAT:
        return
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables:
        connection.close()
        raise ConfigurationError(
            f"{path} was written by another release (format {found}, this one reads {_FORMAT}): see docs/operations.md, “Upgrade”"
        )
    connection.execute(f"PRAGMA user_version={_FORMAT}")


def _gather(queue: _Queue) -> tuple[list[_Call], bool]:
    """Wait for calls, then take all that are there; the flag says that the queue has ended."""
    calls = queue.get()
    if calls is None:
        return [], True
    group = list(calls)
    while len(group) < _GROUP:
        try:
            more = queue.get_nowait()
        except Empty:
            break
        if more is None:
            return group, True
        group += more
    return group, False


def _commit_group(connection: sqlite3.Connection, group: list[_Call], path: str) -> None:
    """Run all calls in one transaction; either all that did not fail are on disk afterwards, or each call has an error."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for call in group:
            _run_in_savepoint(connection, call, path)
        connection.execute("COMMIT")
    except BaseException as error:  # whatever it was, every caller must be told
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        reason = _mapped(error, path)
        for call in group:
            call.error = call.error or reason


def _run_in_savepoint(connection: sqlite3.Connection, call: _Call, path: str) -> None:
    """Run one call; an error undoes only its own changes. Raises when SQLite has rolled back the whole group."""
    connection.execute("SAVEPOINT one")
    try:
        call.value = call.run(connection)
    except BaseException as error:  # handed to the caller, whose call it was
        call.error = _mapped(error, path)
        if not connection.in_transaction:  # disk full and the like: SQLite has undone all calls of the group
            raise
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")


def _read_one(connection: sqlite3.Connection, call: _Call, path: str) -> None:
    try:
        connection.execute("BEGIN")
        try:
            call.value = call.run(connection)
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")
    except BaseException as error:  # handed to the caller, whose call it was
        call.error = _mapped(error, path)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _why(error: sqlite3.Error, path: str) -> str:
    code = _code(error)
    if code in _FULL:
        return f"disk full: free space for {path}"
    if code in _BROKEN:
        return f"{path} is damaged or no SQLite file: put back a copy"
    if code == sqlite3.SQLITE_CANTOPEN and not os.access(Path(path).parent, os.W_OK | os.X_OK):
        return f"the folder of {path} is missing or may not be written"
    return f"{path}: {error}"


def _mapped(error: BaseException, path: str) -> BaseException:
    """The same error, or ours where its reaction is known: wait, or tell the operator."""
    if not isinstance(error, sqlite3.Error):
        return error
    code = _code(error)
    if code in _FULL | _WAIT:
        mapped: Exception = TransientError(_why(error, path))
    elif code in _BROKEN:
        mapped = ConfigurationError(_why(error, path))
    else:
        return error
    mapped.__cause__ = error
    return mapped
