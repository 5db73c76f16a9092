"""One of our processes under test: started, looked at by its ops server and its log, stopped, killed, frozen, started again.

Not here: which program it is (`standalone`, `alone`), and the API that some of them serve (`served_api`).
"""

import contextlib
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
from threadline_runtime.testing.ports import LOOPBACK

from threadline_cli.testing.deployment import seen

__all__ = ["FIRST_KEY", "OwnProcess", "clean_environment"]

FIRST_KEY = "tl_only_for_tests_only_for_tests_only"
T = TypeVar("T")


def clean_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without settings that somebody may have made for themselves, with the first key of tests and `changes`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("THREADLINE_")}
    return clean | {"THREADLINE_API__FIRST_KEY": FIRST_KEY} | dict(changes or {})


class OwnProcess(ABC):
    """A process in a group of its own. As a context manager it is started, and killed at the end."""

    def __init__(self, log: Path, ops_port: int, env: Mapping[str, str]) -> None:
        self.log = log
        self.ops_port = ops_port
        self.env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id, while it runs."""
        return self._started().pid

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What is run."""

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait` it works when this returns."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                list(self.command()), stdout=log, stderr=log, env=clean_environment(self.env), start_new_session=True
            )
        if wait:
            self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until it works, after a start that did not wait."""
        self.until("readiness", lambda: (said := self.asked("/readyz")) is not None and said.status_code == httpx.codes.OK, within=60)

    def stop(self, within: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        self._started().send_signal(signal.SIGTERM)
        return self.wait(within)

    def wait(self, within: float = 30.0) -> int:
        """Wait for the end; the exit status."""
        return self._started().wait(within)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def dies_by_its_own_hand(self, within: float) -> bool:
        """Whether it kills itself (a failpoint) in that time. Raises RuntimeError where it ends in any other way."""
        try:
            status = self.wait(within)
        except subprocess.TimeoutExpired:
            return False
        if status != -signal.SIGKILL:
            raise RuntimeError(f"it ended with {status} instead of being killed:\n{self.said()[-2000:]}")
        return True

    def kill(self) -> None:
        """`kill -9` it with its workers, as a power cut would."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._started().pid, number)

    def said(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def asked(self, path: str) -> httpx.Response | None:
        """What its ops server answers, None where it does not."""
        try:
            return httpx.get(f"http://{LOOPBACK}:{self.ops_port}{path}", timeout=10, trust_env=False)
        except httpx.TransportError:
            return None

    def readiness(self) -> httpx.Response:
        """What /readyz answers now."""
        return httpx.get(f"http://{LOOPBACK}:{self.ops_port}/readyz", timeout=10, trust_env=False)

    def until(self, what: str, look: Callable[[], T | None], within: float = 20.0) -> T:
        """Look again and again until there is an answer. Raises TimeoutError with the end of the log."""
        return seen(what, look, within, lambda: self.said()[-4000:], self._ended)

    def _ended(self) -> str | None:
        """The status that it ended with, None while it runs or is not to run."""
        status = self._process.poll() if self._process is not None else None
        return None if status is None else str(status)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("not started")
        return self._process
