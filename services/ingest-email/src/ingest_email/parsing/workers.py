"""Reads mail in processes of its own that can be killed: one mail costs at most its time and its memory.

Small mails travel in batches, so that a round trip is shared; large ones by path. Not here: reading itself (parser.py),
and where attachments go afterwards.
"""

import asyncio
import contextlib
import os
import pickle
import shutil
import sys
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest_email.parsing.mail import MailError, ParseContext, ParsedMail
from ingest_email.parsing.wire import HEAD, MAX_FRAME, Answer, Request, Verdict, pack, unpack_answer

_BATCH_MAILS = 32
_BATCH_BYTES = 256 * 1024
_START_SECONDS = 60.0
_READER_LIMIT = 1024 * 1024


class WorkerError(Exception):
    """The machine, not the mail, is in trouble (no process, no disk): the mail must be tried again later."""


@dataclass(slots=True, eq=False)
class _Job:
    request: Request
    done: asyncio.Future[ParsedMail]
    crashes: int = 0

    @property
    def size(self) -> int:
        return len(self.request.raw) if self.request.raw is not None else 0

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Worker:
    process: asyncio.subprocess.Process
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter

    async def kill(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself in between
                self.process.kill()
        self.sink.close()
        await self.process.wait()

    async def read(self) -> Answer:
        (size,) = HEAD.unpack(await self.source.readexactly(HEAD.size))
        if size > MAX_FRAME:
            raise pickle.UnpicklingError("a frame above the limit")
        return unpack_answer(await self.source.readexactly(size))


class ParserPool:
    """A fixed number of worker processes; use it as ``async with``. ``time_limit`` is seconds a mail, ``memory_limit`` bytes.

    Attachments above ``spool_above`` bytes come back as files in a folder of their own below ``spool_dir``: the caller
    owns them until it calls ``release``. The pool owns ``spool_dir`` and empties it when it starts and ends.
    """

    def __init__(
        self,
        *,
        workers: int,
        time_limit: float,
        memory_limit: int,
        spool_dir: Path,
        spool_above: int = 64 * 1024,
    ) -> None:
        self._count = workers
        self._time_limit = time_limit
        self._memory_limit = memory_limit
        self._spool_dir = spool_dir
        self._spool_above = spool_above
        self._queue: deque[_Job] = deque()
        self._filled = asyncio.Event()
        self._slots: list[asyncio.Task[None]] = []
        self._workers: set[_Worker] = set()
        self._number = 0

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(_empty, self._spool_dir)
        self._slots = [asyncio.create_task(self._serve()) for _ in range(self._count)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        for worker in tuple(self._workers):
            await self._end(worker)
        for job in self._queue:
            job.fail(WorkerError("the parser pool is closed"))
        self._queue.clear()
        await asyncio.to_thread(_empty, self._spool_dir)

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes alive now."""
        return tuple(worker.process.pid for worker in self._workers)

    async def parse(self, mail: bytes | Path, context: ParseContext) -> ParsedMail:
        """Reads one mail, given as bytes or as the path of a spool file, which is left as it is.

        Raises MailError (also ``timeout``, ``memory``, ``crashed``) for the mail's fault, WorkerError for the machine's.
        """
        future = await self._submit(mail, context)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                await self.release(future.result())  # read, but nobody is left to take it
            raise

    async def parse_many(self, mails: Iterable[bytes | Path], context: ParseContext) -> AsyncGenerator[ParsedMail | MailError, None]:
        """Reads many, in order, a bounded number at once: as fast as the workers, with flat memory."""
        pending: deque[asyncio.Future[ParsedMail]] = deque()
        window = self._count * _BATCH_MAILS * 2
        try:
            for mail in mails:
                pending.append(await self._submit(mail, context))
                if len(pending) >= window:
                    yield await _outcome(pending.popleft())
            while pending:
                yield await _outcome(pending.popleft())
        finally:
            for future in pending:
                if not future.cancel() and future.exception() is None:
                    await self.release(future.result())

    async def release(self, mail: ParsedMail) -> None:
        """Deletes the files that hold a mail's attachments."""
        folders = {Path(one.path).parent for one in mail.attachments if one.path is not None}
        for folder in folders:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _submit(self, mail: bytes | Path, context: ParseContext) -> asyncio.Future[ParsedMail]:
        self._number += 1
        number = self._number
        folder = self._spool_dir / f"mail-{number}"
        raw = mail if isinstance(mail, bytes) and len(mail) <= _BATCH_BYTES else None
        path = mail if isinstance(mail, Path) else None
        if isinstance(mail, bytes) and raw is None:
            path = await self._spooled(folder, mail)
        request = Request(number, raw, str(path) if path is not None else None, str(folder), self._spool_above, context)
        job = _Job(request, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._filled.set()
        return job.done

    async def _spooled(self, folder: Path, raw: bytes) -> Path:
        writing = asyncio.ensure_future(asyncio.to_thread(_write, folder, raw))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:  # the thread goes on; what it wrote is nobody's
            writing.add_done_callback(lambda _: shutil.rmtree(folder, ignore_errors=True))
            raise
        except OSError as error:
            raise WorkerError(f"a mail cannot be spooled ({error}); look at disk and permissions") from error

    async def _serve(self) -> None:
        worker: _Worker | None = None
        while True:
            batch = await self._take()
            while batch:
                try:
                    worker = worker or await self._start()
                except (OSError, WorkerError) as error:
                    fault = WorkerError(f"no parser process can be started ({error}); look at memory and process limits")
                    self._give_up(batch, fault)
                    break
                try:
                    sound = await self._run(worker, batch)
                except asyncio.CancelledError:
                    self._give_up(batch, WorkerError("the parser pool is closed"))
                    raise
                if not sound:
                    await self._end(worker)
                    worker = None

    async def _take(self) -> deque[_Job]:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        batch: deque[_Job] = deque()
        share = max(1, min(_BATCH_MAILS, -(-len(self._queue) // self._count)))
        size = 0
        while self._queue and len(batch) < share:
            if self._queue[0].done.cancelled():
                _remove(self._queue.popleft())
                continue
            size += self._queue[0].size
            if batch and (size > _BATCH_BYTES or self._queue[0].crashes):
                break
            batch.append(self._queue.popleft())
            if batch[-1].crashes:  # a suspect is tried alone
                break
        return batch

    async def _run(self, worker: _Worker, batch: deque[_Job]) -> bool:
        """Sends a batch and settles its jobs, each taken out when done. False: the worker must die, the rest is not done."""
        # Not drained: the worker answers while it reads, and a batch is small.
        worker.sink.write(pack(tuple(job.request for job in batch)))
        while batch:
            try:
                async with asyncio.timeout(self._time_limit):
                    answer = await worker.read()
                if answer.number != batch[0].request.number:
                    raise pickle.UnpicklingError("an answer to another question")
            except TimeoutError:
                told = f"reading took longer than {self._time_limit:g} s; handle the mail by hand"
                self._refuse(batch.popleft(), "timeout", told)
                return False
            except Exception:  # it ended, or wrote what no sound worker writes
                self._crashed(batch.popleft())
                return False
            self._settle(batch.popleft(), answer)
            if answer.code == "memory":
                return False
        return True

    def _crashed(self, job: _Job) -> None:
        """Whoever was killed from outside is innocent: the mail is tried once more, alone."""
        job.crashes += 1
        if job.crashes > 1:
            self._refuse(job, "crashed", "the parser process died on it twice; keep the mail and report it")
        else:
            self._queue.append(job)
            self._filled.set()

    def _settle(self, job: _Job, answer: Answer) -> None:
        if answer.verdict is Verdict.PARSED and answer.mail is not None:
            self._forget_input(job)
            if job.done.cancelled():
                _remove(job)
            elif not job.done.done():
                job.done.set_result(answer.mail)
        elif answer.verdict is Verdict.FAULT:
            _remove(job)
            job.fail(WorkerError(f"a spool file cannot be read or written ({answer.message}); look at disk and permissions"))
        else:
            self._refuse(job, answer.code, answer.message)

    def _forget_input(self, job: _Job) -> None:
        path = job.request.path
        if path is not None and Path(path).parent == Path(job.request.folder):
            Path(path).unlink(missing_ok=True)

    def _refuse(self, job: _Job, code: str, message: str) -> None:
        _remove(job)
        job.fail(MailError(code, message))

    def _give_up(self, batch: deque[_Job], fault: WorkerError) -> None:
        for job in batch:
            _remove(job)
            job.fail(fault)

    async def _start(self) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "ingest_email.parsing.worker_process",
            str(self._memory_limit),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a traceback could quote the mail
            limit=_READER_LIMIT,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        worker = _Worker(process, process.stdout, process.stdin)
        self._workers.add(worker)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.read()
        except BaseException as error:
            await self._end(worker)
            if isinstance(error, Exception):
                raise WorkerError("a new parser process does not answer") from error
            raise
        return worker

    async def _end(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        await worker.kill()


async def _outcome(future: asyncio.Future[ParsedMail]) -> ParsedMail | MailError:
    try:
        return await future
    except MailError as error:
        return error


def _write(folder: Path, raw: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mail.eml"
    path.write_bytes(raw)
    return path


def _remove(job: _Job) -> None:
    shutil.rmtree(job.request.folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
