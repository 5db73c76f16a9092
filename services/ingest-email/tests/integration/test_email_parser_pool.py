"""P8: a mail costs at most its time and its memory, the others go on, and no process outlives the pool."""

import asyncio
import base64
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ingest_email.parsing import MailError, ParseContext, ParsedMail, ParserPool, WorkerError, parse_mail, workers
from ingest_email.parsing.wire import Answer

pytestmark = pytest.mark.integration
FOLDER = Path(__file__).parents[1] / "fixtures"
CONTEXT = ParseContext(trusted_authserv_id="mx.acme.example")
SMALL = b"From: ann@client.example\r\nSubject: small\r\n\r\nhello\r\n"
LARGE = (
    b"From: ann@client.example\r\nSubject: large\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(b"%PDF-" + b"x" * 3_000_000)
)
PARENT = """
import asyncio, sys
from pathlib import Path
from ingest_email.parsing import ParseContext, ParserPool
async def main():
    async with ParserPool(workers=2, time_limit=600, memory_limit=1 << 30, spool_dir=Path(sys.argv[1])) as pool:
        await pool.parse(b"From: a@b.example\\n\\nx", ParseContext())
        busy = asyncio.create_task(pool.parse(Path(sys.argv[2]), ParseContext()))
        while len(pool.pids) < 2:
            await asyncio.sleep(0.01)
        print(*pool.pids, flush=True)
        await busy
asyncio.run(main())
"""


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[ParserPool]:
    async with ParserPool(workers=1, time_limit=30, memory_limit=1 << 30, spool_dir=tmp_path / "spool") as made:
        yield made


class Endless:
    """A spool file that never ends: who reads it hangs."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.held: list[int] = []

    async def until_read(self) -> None:
        """Returns when a worker hangs on the file."""
        while True:
            try:
                self.held.append(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
                return
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                await asyncio.sleep(0.01)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Endless]:
    made = Endless(tmp_path / "endless.eml")
    yield made
    for descriptor in made.held:
        os.close(descriptor)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_dead(*pids: int) -> None:
    while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - nobody tells when it is gone
        await asyncio.sleep(0.01)


def with_bytes(mail: ParsedMail) -> ParsedMail:
    """The mail with its spooled files read back."""
    files = (replace(one, payload=Path(one.path).read_bytes(), path=None) if one.path else one for one in mail.attachments)
    return replace(mail, attachments=tuple(files))


async def test_workers_give_what_the_parser_gives_in_order(tmp_path: Path) -> None:
    mails = [path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))] * 3 + [LARGE]
    async with ParserPool(workers=2, time_limit=30, memory_limit=1 << 30, spool_dir=tmp_path, spool_above=20) as pool:
        found = [with_bytes(one) async for one in pool.parse_many(mails, CONTEXT) if isinstance(one, ParsedMail)]
    assert found == [parse_mail(raw, context=CONTEXT) for raw in mails]


async def test_a_refused_mail_does_not_stop_the_others(pool: ParserPool) -> None:
    found = [one async for one in pool.parse_many([SMALL, b"", b"noise", SMALL], CONTEXT)]
    assert [one.code if isinstance(one, MailError) else one.subject for one in found] == ["small", "empty", "no_header", "small"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_large_file_comes_back_by_path_and_is_released(pool: ParserPool, tmp_path: Path) -> None:
    spooled = tmp_path / "mail.eml"
    spooled.write_bytes(LARGE)
    for given in (LARGE, spooled):
        mail = await pool.parse(given, CONTEXT)
        (file,) = mail.attachments
        assert file.payload is None
        assert file.path is not None
        assert file.size == 3_000_005
        assert with_bytes(mail) == parse_mail(LARGE, context=CONTEXT)
        assert names_in(Path(file.path).parent) == [file.sha256]
        await pool.release(mail)
        assert names_in(tmp_path / "spool") == []
    assert spooled.read_bytes() == LARGE


async def test_a_mail_over_its_time_is_given_up_and_its_worker_replaced(tmp_path: Path, endless: Endless) -> None:
    async with ParserPool(workers=1, time_limit=0.5, memory_limit=1 << 30, spool_dir=tmp_path / "spool") as pool:
        stuck = asyncio.create_task(pool.parse(endless.path, CONTEXT))
        behind = asyncio.create_task(pool.parse(SMALL, CONTEXT))
        await endless.until_read()
        old = pool.pids
        with pytest.raises(MailError) as raised:
            await stuck
        assert raised.value.code == "timeout"
        assert (await behind).subject == "small"
        await until_dead(*old)
        assert pool.pids != old


async def test_a_mail_over_its_memory_is_given_up(tmp_path: Path) -> None:
    huge = LARGE + b"eHh4\r\n" * 20_000_000
    async with ParserPool(workers=1, time_limit=60, memory_limit=150 << 20, spool_dir=tmp_path / "spool") as pool:
        found = [one async for one in pool.parse_many([SMALL, huge, SMALL], CONTEXT)]
    assert [one.code if isinstance(one, MailError) else one.subject for one in found] == ["small", "memory", "small"]


async def test_a_mail_whose_worker_is_killed_is_read_again_once(pool: ParserPool, endless: Endless) -> None:
    """P8: killed from outside once, the mail is innocent; twice, it is set aside with its reason."""
    stuck = asyncio.create_task(pool.parse(endless.path, CONTEXT))
    await endless.until_read()
    behind = asyncio.create_task(pool.parse(SMALL, CONTEXT))
    (first,) = pool.pids
    os.kill(first, signal.SIGKILL)
    await until_dead(first)
    assert (await behind).subject == "small"
    assert not stuck.done()
    await endless.until_read()
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(MailError) as raised:
        await stuck
    assert raised.value.code == "crashed"
    assert (await pool.parse(SMALL, CONTEXT)).subject == "small"


async def test_a_broken_machine_is_no_fault_of_the_mail(pool: ParserPool, tmp_path: Path) -> None:
    """P8: faults never skip: a missing spool file or a full disk is an error to try again after, not a rejection."""
    with pytest.raises(WorkerError, match="No such file"):
        await pool.parse(tmp_path / "gone.eml", CONTEXT)
    spooled = tmp_path / "mail.eml"
    spooled.write_bytes(LARGE)
    (tmp_path / "spool").rmdir()
    (tmp_path / "spool").write_bytes(b"in the way")
    with pytest.raises(WorkerError, match="look at disk"):
        await pool.parse(spooled, CONTEXT)
    (tmp_path / "spool").unlink()
    assert (await pool.parse(SMALL, CONTEXT)).subject == "small"


async def test_workers_that_cannot_start_reject_nothing(tmp_path: Path) -> None:
    async with ParserPool(workers=1, time_limit=5, memory_limit=1 << 20, spool_dir=tmp_path / "spool") as pool:
        with pytest.raises(WorkerError, match="no parser process can be started"):
            await pool.parse(SMALL, CONTEXT)


async def test_who_stops_listening_leaves_no_files(pool: ParserPool, tmp_path: Path) -> None:
    stream = pool.parse_many([LARGE, LARGE, SMALL], CONTEXT)
    taken = await anext(stream)
    await stream.aclose()
    for rounds in (0, 1, 2, 50):
        forgotten = asyncio.create_task(pool.parse(LARGE, CONTEXT))
        for _ in range(rounds):
            await asyncio.sleep(0)
        forgotten.cancel()
    await pool.parse(SMALL, CONTEXT)
    assert isinstance(taken, ParsedMail)
    await pool.release(taken)
    async with asyncio.timeout(20):
        while names_in(tmp_path / "spool"):  # noqa: ASYNC110 - a thread may still be writing what nobody waits for
            await asyncio.sleep(0.01)


async def test_a_mail_given_up_while_it_waits_leaves_no_files(pool: ParserPool, endless: Endless, tmp_path: Path) -> None:
    stuck = asyncio.create_task(pool.parse(endless.path, CONTEXT))
    await endless.until_read()
    waiting = asyncio.create_task(pool.parse(LARGE, CONTEXT))
    while not any((tmp_path / "spool").iterdir()):  # noqa: ASYNC110 - written by a thread
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    waiting.cancel()
    os.kill(pool.pids[0], signal.SIGKILL)
    assert (await pool.parse(SMALL, CONTEXT)).subject == "small"
    assert names_in(tmp_path / "spool") == []
    stuck.cancel()


async def test_a_closed_pool_leaves_no_process_and_no_waiting_caller(tmp_path: Path, endless: Endless) -> None:
    async with ParserPool(workers=1, time_limit=30, memory_limit=1 << 30, spool_dir=tmp_path / "spool") as pool:
        stuck = asyncio.create_task(pool.parse(endless.path, CONTEXT))
        behind = asyncio.create_task(pool.parse(SMALL, CONTEXT))
        await endless.until_read()
        pids = pool.pids
    await until_dead(*pids)
    for task in (stuck, behind):
        with pytest.raises(WorkerError):
            await task


async def test_workers_die_with_a_killed_parent(tmp_path: Path, endless: Endless) -> None:
    """Idle and busy workers alike: nobody is left to close their pipes in order."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "spool"), str(endless.path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    await endless.until_read()
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    parent.kill()
    await parent.wait()
    await until_dead(*pids)


async def test_an_answer_that_breaks_in_any_way_costs_the_worker_and_not_the_pool(pool, monkeypatch):
    """P8: whatever a hostile worker writes, the mail is tried again and no later mail waits for ever."""
    real, broken = workers.unpack_answer, [OverflowError("year is out of range"), RecursionError()]
    told: set[int] = set()

    def unpack(body: bytes) -> Answer:
        answer = real(body)
        if broken and answer.mail is not None and answer.number not in told:
            told.add(answer.number)
            raise broken.pop()
        return answer

    monkeypatch.setattr(workers, "unpack_answer", unpack)
    async with asyncio.timeout(20):
        for _ in range(2):
            assert (await pool.parse(SMALL, CONTEXT)).subject == "small"
    assert broken == []
