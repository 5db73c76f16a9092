"""One server process in a group of its own, which ends with us even when we are killed; which server is not known here."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from threadline_runtime.testing.ports import LOOPBACK

# The keeper holds a pipe to us. It closes when this process ends, however it ends, and the server is told to stop.
_KEEPER = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3; kill -TERM "$server") 2>/dev/null &
wait "$server"; status=$?
kill "$!" 2>/dev/null
exit "$status"
"""
_POLL_SECONDS = 0.02
_STANDING = frozenset("TtZX")
"""States of threads that are stopped or have ended (proc(5))."""
_SILENT_SECONDS = 5.0

__all__ = ["ServerNotReadyError", "ServerProcess", "is_listening"]


class ServerNotReadyError(RuntimeError):
    """A server ended or did not listen in time; the message ends with the last lines of its log."""


class ServerProcess:
    """A server started by `start`, ended by `stop` (SIGTERM) or `kill` (SIGKILL to the whole group)."""

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command = [str(part) for part in command]
        self._log = log
        self._environment = dict(environment) if environment is not None else None
        self._ports: Sequence[int] = ()
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self, ports: Sequence[int], within: float = 10.0) -> None:
        """Start and wait until every port listens. Raises ServerNotReadyError."""
        with self._log.open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: S603 - the command is ours
                ["/bin/sh", "-c", _KEEPER, "keeper", *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        self._ports = tuple(ports)
        deadline = time.monotonic() + within
        for port in ports:
            self._wait_for(port, deadline)

    def stop(self, within: float = 10.0) -> None:
        """Ask the server to end, wait, and kill what is left."""
        if self._keeper is None:
            return
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(within)
        self.kill()

    def kill(self) -> None:
        """End the server and its children at once, as `kill -9` or a power cut would."""
        if self._keeper is None:
            return
        self._signal(signal.SIGKILL)
        self._keeper.wait()
        if self._keeper.stdin is not None:
            with contextlib.suppress(OSError):
                self._keeper.stdin.close()
        self._keeper = None
        self._wait_until_silent()

    def freeze(self) -> None:
        """Stop every process of the server where it stands, with its connections open."""
        self._signal(signal.SIGSTOP)
        while not self._stands_still():  # on a busy machine its threads go on for a moment
            time.sleep(_POLL_SECONDS)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines the server wrote, for an error message."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        if self._keeper is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._keeper.pid, number)

    def _stands_still(self) -> bool:
        """Whether no thread of the group can run."""
        group = self._keeper.pid if self._keeper is not None else None
        for stat in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
                if int(of_group) == group and state not in _STANDING:
                    return False
        return True

    def _wait_for(self, port: int, deadline: float) -> None:
        while not is_listening(port):
            if not self.running:
                raise ServerNotReadyError(f"{self._command[0]} ended at once:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerNotReadyError(f"{self._command[0]} does not listen on port {port}:\n{self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def _wait_until_silent(self) -> None:
        # The kernel ends the killed children one by one; until the last is gone the ports still take connections.
        deadline = time.monotonic() + _SILENT_SECONDS
        while any(is_listening(port) for port in self._ports) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def is_listening(port: int) -> bool:
    """Whether something accepts connections on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
