"""The standalone row: mail bytes to stored entry, all services' own code on SQLite files, against a bare program in the same run.

Ours: the poller host with its lease and checkpoint, the parser's processes, publishing, the router's journal and pipeline; only the
IMAP connection is replaced by the corpus. It ends when every mail has an entry and an intake. Floor: a walk that decodes every text
part, and one row a mail in SQLite (WAL, `synchronous=FULL`), 100 a transaction. `--memory N` watches the main process over N mails.
"""

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import yaml
from bench_parse import floor as walk
from corpus_mail import SEED, corpus
from ingest_email import app as ingest
from ingest_email.connectors.email import EmailConnector
from ingest_email.feeds import stamp_of
from ingest_email.imap.mail import MEDIA_TYPE, MailboxMail
from ingest_email.parsing import ParseContext, ParserPool
from ingest_email.reading import MailReader
from rich.console import Console
from rich.progress import Progress
from router import app as routing
from threadline_cli.foundations import opened
from threadline_connectors.accounts import AccountBoard
from threadline_connectors.poller_host import Feed, PollerHost, PollerServices
from threadline_connectors.pollers import Batch, Fetched, Source
from threadline_connectors.publishing import IntakePublisher
from threadline_connectors.source_metrics import SourceMetrics
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.foundations import Foundations
from threadline_runtime.settings import Settings

_BATCH = 100
_AUTHSERV = "mx.acme.example"


class CorpusPoller:
    """A source that has all mails at once and then nothing; each mail is made its own by a header, as if many customers wrote.

    The mails lie in files, as they would lie at a server: only what is under way is in memory.
    """

    def __init__(self, mails: Sequence[Path], count: int) -> None:
        self._mails = mails
        self._count = count

    async def start(self) -> str:
        """From the first mail."""
        return "0"

    async def follow(self, position: str) -> AsyncIterator[Batch[MailboxMail]]:
        """Batches as the IMAP poller makes them."""
        for start in range(int(position), self._count, _BATCH):
            end = min(start + _BATCH, self._count)
            yield Batch(tuple(self._fetched(n) for n in range(start, end)), str(end), caught_up=end == self._count)
        await asyncio.Event().wait()

    async def published(self, batch: Batch[MailboxMail]) -> None:
        """Nothing is marked."""

    async def close(self) -> None:
        """Nothing is open."""

    def _fetched(self, number: int) -> Fetched[MailboxMail]:
        raw = numbered(self._mails[number % len(self._mails)].read_bytes(), number // len(self._mails))
        mail = MailboxMail(raw, datetime.now(UTC) - timedelta(seconds=1), f"{number:020d}")
        return Fetched(("INBOX", 1, number), mail, raw, len(raw), MEDIA_TYPE)


def numbered(raw: bytes, round_: int) -> bytes:
    """The mail as it is in the first round; later rounds are told apart by their Message-ID."""
    return raw if round_ == 0 else raw.replace(b"Message-ID: <", b"Message-ID: <%d." % round_, 1)


def resident_mb() -> float:
    """Memory of this process, without the parser's processes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def laid_out(mails: Sequence[bytes], folder: Path) -> list[Path]:
    """The mails as files."""
    folder.mkdir()
    paths = [folder / f"{number:06d}.eml" for number in range(len(mails))]
    for path, raw in zip(paths, mails, strict=True):
        path.write_bytes(raw)
    return paths


async def ours(mails: Sequence[Path], count: int, folder: Path, progress: Progress | None = None) -> tuple[float, list[float]]:
    """Seconds until `count` mails are entries and intakes, and the memory of the main process on the way."""
    file = folder / "threadline.yaml"
    login = {"host": "127.0.0.1", "port": 1, "tls": "none", "username": "support", "password": "env:BENCH_PASSWORD", "start_at": "all"}
    account = {
        "id": "support-mail", "channel": "email", "brand": "acme", "address": "support@acme.example",
        "trusted_authserv_id": _AUTHSERV, "imap": login, "smtp": login | {"port": 1},
    }  # fmt: skip
    account["smtp"] = {name: value for name, value in login.items() if name != "start_at"}
    file.write_text(yaml.safe_dump({"brands": {"acme": {"name": "Acme"}}, "accounts": [account]}))
    os.environ["BENCH_PASSWORD"] = "not used"
    data = folder / "data"
    data.mkdir()
    async with AsyncExitStack() as stack:
        given = await stack.enter_async_context(opened(data, Settings().in_folder(data), load_configuration(file)))
        base = given.base
        await routing.migrate(base.database)
        await ingest.migrate(base.database)
        around = routing.Surroundings(base.bus, base.database, base.blobs, base.configuration, given.signing, base.metrics, os.urandom)
        router = routing.build_router(around)
        pool = await stack.enter_async_context(
            ParserPool(workers=2, time_limit=30, memory_limit=1 << 30, spool_dir=data / "spool" / "parts")
        )
        host = poller_host(base, pool, mails, count)
        started = time.perf_counter()
        tasks = [asyncio.create_task(router.run()), asyncio.create_task(host.run()), asyncio.create_task(base.leases.run())]
        memory = await until_stored(base, count, tasks, progress)
        seconds = time.perf_counter() - started
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks)
    return seconds, memory


def poller_host(base: Foundations, pool: ParserPool, mails: Sequence[Path], count: int) -> PollerHost[MailboxMail]:
    """The service's host over the corpus instead of a mailbox."""
    (account,) = ingest.mail_accounts(base.configuration, os.environ)
    connector = EmailConnector(follow_reply_to=False)
    reader = MailReader(connector, pool, ParseContext(trusted_authserv_id=account.trusted_authserv_id))
    services = PollerServices(
        publisher=IntakePublisher(base.bus, base.blobs),
        checkpoints=ingest.open_checkpoints(base.database),
        leases=base.leases,
        board=AccountBoard(),
        metrics=SourceMetrics(base.metrics),
        now=lambda: datetime.now(UTC),
        sleep=asyncio.sleep,
        random=random.random,
    )
    return PollerHost(Feed(Source(account.id, "INBOX"), CorpusPoller(mails, count), reader, stamp_of(account, connector)), services)


async def until_stored(base: Foundations, count: int, tasks: Sequence["asyncio.Task[None]"], progress: Progress | None) -> list[float]:
    """Wait for the last entry and the last intake; the memory seen on the way."""
    bar = progress.add_task("mails stored", total=count) if progress else None
    memory: list[float] = []

    def counts(connection: sqlite3.Connection) -> tuple[int, int]:
        entries = connection.execute("SELECT COUNT(*) FROM router_entries WHERE filed = 1").fetchone()[0]
        return entries, connection.execute("SELECT COUNT(*) FROM router_journal").fetchone()[0]

    while True:
        for task in tasks:
            if task.done():
                task.result()
        entries, intakes = await base.database.read(counts)
        memory.append(resident_mb())
        if progress and bar is not None:
            progress.update(bar, completed=min(entries, intakes))
        if intakes >= count and entries >= count:
            return memory
        await asyncio.sleep(0.05 if count < 20_000 else 2.0)


def floor(mails: Sequence[bytes], count: int, folder: Path) -> float:
    """Seconds of the bare program."""
    started = time.perf_counter()
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE mails (number INTEGER PRIMARY KEY, raw BLOB)")
    for start in range(0, count, 100):
        rows = []
        for number in range(start, min(start + 100, count)):
            raw = mails[number % len(mails)]
            walk(raw)
            rows.append((number, raw))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO mails VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    connection.close()
    return time.perf_counter() - started


def distinct(count: int, seed: int, largest: int) -> list[bytes]:
    """Mails of the corpus up to a size that have a Message-ID of their own."""
    found: dict[bytes, bytes] = {}
    for _, raw in corpus(count, seed):
        if len(raw) > largest:
            continue
        head = raw.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in raw[:65536] else raw.partition(b"\n\n")[0]
        name = next((line for line in head.splitlines() if line.lower().startswith(b"message-id:")), raw[:200])
        found.setdefault(name, raw)
    return list(found.values())


def main() -> None:
    """Interleaved runs, medians, the ratio; with `--memory` one long run instead."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=3_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--largest", type=int, default=64 << 20, help="leave out mails above this many bytes")
    arguments.add_argument("--memory", type=int, metavar="N", help="one run over N mails, watching the main process's memory")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    if chosen.memory:
        result = memory_row(chosen.memory, chosen.seed, chosen.largest)
    else:
        result = speed_row(distinct(chosen.count, chosen.seed, chosen.largest), chosen.rounds)
    print(json.dumps(result) if chosen.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


def speed_row(mails: Sequence[bytes], rounds: int) -> dict[str, object]:
    """Medians of interleaved runs."""
    floors, own = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            floors.append(len(mails) / floor(mails, len(mails), Path(folder)))
            files = laid_out(mails, Path(folder) / "mails")
            own.append(len(files) / asyncio.run(ours(files, len(files), Path(folder)))[0])
    ratios = [mine / bare for mine, bare in zip(own, floors, strict=True)]
    return {
        "path": "standalone",
        "mails": len(mails),
        "bytes": sum(map(len, mails)),
        "largest_bytes": max(map(len, mails)),
        "floor_per_second": round(statistics.median(floors), 1),
        "ours_per_second": round(statistics.median(own), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(one, 3) for one in ratios],
    }


def prepared(count: int, seed: int, largest: int, folder: Path) -> list[Path]:
    """The corpus as files, made in a process of its own, so that making it leaves no memory behind here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(_prepare, count, seed, largest, folder).result()


def _prepare(count: int, seed: int, largest: int, folder: Path) -> list[Path]:
    return laid_out(distinct(count, seed, largest), folder)


def memory_row(count: int, seed: int, largest: int) -> dict[str, object]:
    """Memory of the main process at tenths of a long run."""
    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True)) as progress:
        files = prepared(min(count, 3_000), seed, largest, Path(folder) / "mails")
        seconds, memory = asyncio.run(ours(files, count, Path(folder), progress))
    tenths = [round(memory[min(len(memory) - 1, len(memory) * n // 10)], 1) for n in range(11)]
    return {
        "path": "memory",
        "mails": count,
        "per_second": round(count / seconds, 1),
        "mb_at_tenths": tenths,
        "mb_highest": round(max(memory), 1),
    }


if __name__ == "__main__":
    main()
