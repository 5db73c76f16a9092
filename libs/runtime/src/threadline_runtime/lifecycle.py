"""Starts, watches and stops what a process runs: sources stop first, then workers, then what they lean on.

Not here: what runs (each service's `app.py` decides) and restarts of the process (whoever started it decides).
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import structlog

from threadline_runtime.errors import ConfigurationError, ThreadlineError

__all__ = ["Lifecycle", "Stage", "TaskDied"]

_log = structlog.stdlib.get_logger("threadline.lifecycle")
_RESTART_FIRST, _RESTART_MOST = 1.0, 60.0
_BREAK_OFF_SECONDS = 5.0


class Stage(IntEnum):
    """In which order things stop: what takes in, what works it off, what both lean on (beats, clocks, the ops server)."""

    INTAKE = 1
    WORK = 2
    SUPPORT = 3


class TaskDied(ThreadlineError):  # noqa: N818 - what happened, as the operator reads it
    """A part of the process ended that must not end; the process stops so that it can be started again."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    stage: Stage
    run: Callable[[], Awaitable[None]]
    restart: bool


class Lifecycle:
    """Runs parts until a signal or until one dies, then stops all in order."""

    def __init__(self, *, grace: float = 20.0, on_stop: Callable[[], None] | None = None) -> None:
        """`grace` seconds are given to draining as a whole; `on_stop` is called first (readiness turns to no)."""
        self._grace = grace
        self._on_stop = on_stop
        self._parts: list[_Part] = []
        self._tasks: dict[_Part, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()

    def add(self, name: str, run: Callable[[], Awaitable[None]], *, stage: Stage = Stage.WORK, restart: bool = False) -> None:
        """Run this. With `restart` an error starts it anew after a pause, else it ends the process.

        Returning ends the process too.
        """
        self._parts.append(_Part(name, stage, run, restart))

    def stop(self) -> None:
        """Ask to stop, as a signal does."""
        self._stop.set()

    def liveness(self) -> str | None:
        """Which part has ended, if any; for `/livez`."""
        ended = [part.name for part, task in self._tasks.items() if task.done()]
        return f"ended: {', '.join(ended)}" if ended else None

    async def run(self, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        """Run until SIGTERM, SIGINT or `stop`, then drain and return. Raises ConfigurationError or TaskDied after stopping the rest.

        `prepare` is done while the parts added before already run (who asks how the process does gets an answer); the parts that it
        adds start after it. What it raises ends the process; asked to stop meanwhile it is cancelled.
        """
        with self._signals():
            self._start_added()
            reason: ThreadlineError | None = None
            try:
                if prepare is None or await self._unless_stopped(prepare):
                    self._start_added()
                reason = await self._until_over()
            finally:
                if self._on_stop is not None:
                    self._on_stop()
                await self._drain()
            if reason is not None:
                raise reason

    def _start_added(self) -> None:
        for part in self._parts:
            if part not in self._tasks:
                self._tasks[part] = asyncio.create_task(self._run_part(part), name=part.name)

    async def _unless_stopped(self, prepare: Callable[[], Awaitable[None]]) -> bool:
        """Whether it was done before anybody asked to stop, and before a part ended."""
        work, stopping = asyncio.ensure_future(prepare()), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({work, stopping, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()
        return not work.cancelled() and not self._stop.is_set()

    async def _until_over(self) -> ThreadlineError | None:
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while True:
                for part, task in self._tasks.items():
                    if task.done():
                        return _died(part, task)
                if self._stop.is_set():
                    return None
                await asyncio.wait([stopping, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _run_part(self, part: _Part) -> None:
        pause = _RESTART_FIRST
        while True:
            try:
                await part.run()
            except Exception as raised:
                error = _told(raised)
                if not part.restart or isinstance(error, ConfigurationError):
                    raise error from None
                _log.error("part restarts", task=part.name, error_class=type(error).__name__, exc_info=error)
                await asyncio.sleep(pause)
                pause = min(_RESTART_MOST, pause * 2)
            else:
                return

    async def _drain(self) -> None:
        """Cancel stage after stage; what does not end within the grace is cancelled again, which breaks it off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace
        for stage in Stage:
            tasks = {task for part, task in self._tasks.items() if part.stage is stage and not task.done()}
            for task in tasks:
                task.cancel()
            if not tasks:
                continue
            _, late = await asyncio.wait(tasks, timeout=max(0.0, deadline - loop.time()))
            for task in late:
                _log.warning("part broken off", task=task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_BREAK_OFF_SECONDS)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask to stop; a second one breaks off at once."""
        loop = asyncio.get_running_loop()

        def ask() -> None:
            if self._stop.is_set():
                for task in self._tasks.values():
                    task.cancel()
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _told(error: Exception) -> Exception:
    """What happened inside a task group: the operator's to mend before all else, else what came first."""
    if not isinstance(error, ExceptionGroup):
        return error
    inner = [_told(one) for one in error.exceptions]
    return next((one for one in inner if isinstance(one, ConfigurationError)), inner[0])


def _died(part: _Part, task: "asyncio.Task[None]") -> ThreadlineError:
    """Why the process must stop because this task has ended."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, ConfigurationError):
        return error
    if error is None:
        return TaskDied(f"{part.name} ended unexpectedly: see the log, then start again")
    _log.critical("part died", task=part.name, error_class=type(error).__name__, exc_info=error)
    return TaskDied(f"{part.name} died of {type(error).__name__}: see the log, then start again")
