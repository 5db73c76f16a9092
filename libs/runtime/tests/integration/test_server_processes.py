"""Servers that tests start end with them, however the tests end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from threadline_runtime.testing.ports import free_port
from threadline_runtime.testing.processes import ServerNotReadyError, ServerProcess, is_listening

pytestmark = pytest.mark.integration

OWNER = """
import pathlib, sys, time
from threadline_runtime.testing.processes import ServerProcess
port = int(sys.argv[1])
server = ServerProcess([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], pathlib.Path(sys.argv[2]))
server.start([port])
print("ready", flush=True)
time.sleep(60)
"""


def http_server(port: int, log: Path) -> ServerProcess:
    return ServerProcess([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], log)


def gone(port: int) -> bool:
    deadline = time.monotonic() + 10
    while is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_listening(port)


def test_a_server_ends_when_its_test_run_is_killed(tmp_path: Path) -> None:
    port = free_port()
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(port), str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner:
        assert owner.stdout.readline() == "ready\n"
        assert is_listening(port)
        owner.kill()
    assert gone(port)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_can_be_ended_and_started_again_on_its_port(tmp_path: Path, end: str) -> None:
    port = free_port()
    server = http_server(port, tmp_path / "log")
    try:
        for _ in range(2):
            server.start([port])
            assert server.running
            getattr(server, end)()
            assert not server.running
            assert not is_listening(port)
    finally:
        server.kill()


def test_kill_reaches_the_servers_children(tmp_path: Path) -> None:
    port = free_port()
    child = f"{sys.executable} -m http.server {port} --bind 127.0.0.1 & sleep 60"
    server = ServerProcess(["/bin/sh", "-c", child], tmp_path / "log")
    server.start([port])
    server.kill()
    assert gone(port)


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    server = ServerProcess(["/bin/sh", "-c", "echo bad configuration >&2; exit 1"], tmp_path / "log")
    with pytest.raises(ServerNotReadyError, match="bad configuration"):
        server.start([free_port()])
