"""SqliteDatabase: answered means stored (P9); one bad call harms nobody else."""

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest
from threadline_runtime.errors import ConfigurationError, TransientError
from threadline_runtime.sqlite import SqliteDatabase


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")


def _insert(n: int):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (n,)).lastrowid


def _numbers(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


@pytest.fixture(params=["memory", "file"])
async def database(request: pytest.FixtureRequest, tmp_path: Path):
    database = SqliteDatabase.open(":memory:" if request.param == "memory" else tmp_path / "a.db")
    await database.write(_create)
    yield database
    await database.close()


async def test_many_tasks_write_and_each_gets_its_own_answer(database: SqliteDatabase) -> None:
    answers = await asyncio.gather(*(database.write(_insert(n)) for n in range(500)))
    assert answers == list(range(500))
    assert await database.read(_numbers) == list(range(500))


async def test_a_failing_call_undoes_only_its_own_changes(database: SqliteDatabase) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (100)")
        raise ValueError("no")

    results = await asyncio.gather(
        database.write(_insert(1)), database.write(half), database.write(_insert(1)), database.write(_insert(2)), return_exceptions=True
    )
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], sqlite3.IntegrityError)
    assert await database.read(_numbers) == [1, 2]


async def test_a_cancelled_caller_does_not_break_the_queue(database: SqliteDatabase) -> None:
    waiting = asyncio.create_task(database.write(_insert(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await database.write(_insert(2))
    assert 2 in await database.read(_numbers)


async def test_close_finishes_what_was_asked_for(tmp_path: Path) -> None:
    database = SqliteDatabase.open(tmp_path / "a.db")
    await database.write(_create)
    writes = [asyncio.create_task(database.write(_insert(n))) for n in range(50)]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*writes)
    with pytest.raises(TransientError, match="closed"):
        await database.write(_insert(99))
    again = SqliteDatabase.open(tmp_path / "a.db")
    assert await again.read(_numbers) == list(range(50))
    await again.close()


async def test_disk_full_is_a_transient_error_and_undoes_the_whole_group(tmp_path: Path) -> None:
    """P9: a full disk loses nothing that was answered and answers nothing that was not stored."""
    database = SqliteDatabase.open(tmp_path / "a.db")
    await database.write(_create)
    await database.write(lambda c: c.execute("CREATE TABLE big (b BLOB)"))
    pages = await database.read(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages + 5}").fetchone())

    def big(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO big VALUES (zeroblob(1000000))")

    first, full = await asyncio.gather(database.write(_insert(1)), database.write(big), return_exceptions=True)
    assert isinstance(full, TransientError)
    assert "disk full" in str(full)
    stored = await database.read(_numbers)
    assert stored == ([] if isinstance(first, TransientError) else [1])
    await database.write(_insert(7))
    assert 7 in await database.read(_numbers)
    await database.close()


async def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(ConfigurationError, match="damaged or no SQLite file"):
        SqliteDatabase.open(tmp_path / "a.db")


async def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the folder of .* is missing"):
        SqliteDatabase.open(tmp_path / "no" / "a.db")


async def test_a_read_sees_one_state_and_cannot_write(tmp_path: Path) -> None:
    database = SqliteDatabase.open(tmp_path / "a.db")
    await database.write(_create)
    with pytest.raises(TransientError):
        await database.read(_insert(1))
    assert await database.read(_numbers) == []
    await database.close()


async def test_a_look_sees_what_was_answered_and_an_error_harms_no_later_one(database: SqliteDatabase) -> None:
    await database.write(_insert(7))
    assert await database.look(_numbers) == [7]
    await database.write(_insert(8))
    assert await database.look(_numbers) == [7, 8]
    with pytest.raises(ZeroDivisionError):
        await database.look(lambda _: 1 // 0)
    assert await database.look(_numbers) == [7, 8]


async def test_a_look_cannot_write(tmp_path: Path) -> None:
    database = SqliteDatabase.open(tmp_path / "a.db")
    await database.write(_create)
    with pytest.raises(TransientError, match="readonly"):
        await database.look(_insert(1))
    assert await database.look(_numbers) == []
    await database.close()


async def test_a_look_never_waits_in_the_loop(tmp_path: Path) -> None:
    """Where SQLite would wait for a lock, a reader's thread waits instead of the loop."""
    database = SqliteDatabase.open(tmp_path / "a.db")
    await database.write(_create)
    threads: list[int] = []

    def numbers(connection: sqlite3.Connection) -> list[int]:
        threads.append(threading.get_ident())
        if threading.get_ident() == threading.main_thread().ident:
            raise sqlite3.OperationalError("database is locked") from None
        return _numbers(connection)

    def locked(connection: sqlite3.Connection) -> list[int]:
        try:
            return numbers(connection)
        except sqlite3.OperationalError as error:
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise

    assert await database.look(locked) == []
    assert threads[0] == threading.main_thread().ident
    assert threads[1] != threads[0]
    await database.close()


async def test_a_locked_file_is_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadline_runtime.sqlite._BUSY_MS", 1)
    database = SqliteDatabase.open(tmp_path / "a.db")
    await database.write(_create)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="locked"):
        await database.write(_insert(1))
    other.execute("ROLLBACK")
    await database.write(_insert(1))
    other.close()
    await database.close()


async def test_a_file_of_another_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """After an upgrade that changed the tables nobody may be shown an empty timeline."""
    path = tmp_path / "a.db"
    database = SqliteDatabase.open(path)
    await database.write(_create)
    await database.close()
    await SqliteDatabase.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version=9")
    with pytest.raises(ConfigurationError, match=r"another release \(format 9.*operations.md"):
        SqliteDatabase.open(path)
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (9,)
