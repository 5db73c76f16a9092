"""The router as a process of its own on MongoDB, whatever comes up first."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from threadline_runtime.testing.mongodb import MongoServer, database_url, require_mongodb
from threadline_runtime.testing.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[MongoServer]:
    require_mongodb()
    made = MongoServer()
    yield made
    made.close()


class Alone:
    """`python -m router`, and what its ops server says."""

    def __init__(self, folder: Path, database: str) -> None:
        port, self.ops_port = free_ports(2)
        (folder / "signing.keys").write_text("6b" * 32)
        (folder / "threadline.yaml").write_text("brands:\n  acme: {name: Acme}\n")
        settings = {
            "THREADLINE_BUS__URL": "sqlite:///bus.db",
            "THREADLINE_DATABASE__URL": database,
            "THREADLINE_BLOBS__URL": f"file://{folder}/blobs",
            "THREADLINE_SIGNING_KEYS": f"file:{folder}/signing.keys",
            "THREADLINE_HTTP__PORT": str(port),
            "THREADLINE_OPS__PORT": str(self.ops_port),
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("THREADLINE_")}
        self.log = folder / "router.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "router"], cwd=folder, env=clean | settings, stdout=log, stderr=log)

    def said(self, path: str) -> httpx.Response | None:
        try:
            return httpx.get(f"http://{LOOPBACK}:{self.ops_port}{path}", timeout=10, trust_env=False)
        except httpx.TransportError:
            return None

    def until(self, look: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not look():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


def test_a_database_that_comes_up_later_is_waited_for(tmp_path: Path, server: MongoServer) -> None:
    """Issue 5: alive and not ready while the database is absent, with the reason; then it goes on by itself."""
    alone = Alone(tmp_path, database_url(server.url, "threadline"))
    try:
        alone.until(lambda: alone.said("/livez"))
        live, ready = alone.said("/livez"), alone.said("/readyz")
        assert live is not None
        assert ready is not None
        assert (live.status_code, ready.status_code) == (200, 503)
        assert "MongoDB" in ready.text
        server.start()
        alone.until(lambda: (said := alone.said("/readyz")) is not None and said.status_code == 200)
        assert "the first API key" in alone.log.read_text()
        alone.process.terminate()
        assert alone.process.wait(30) == 0
    finally:
        alone.process.kill()
        alone.process.wait()


def test_a_stop_while_it_waits_is_a_stop(tmp_path: Path, server: MongoServer) -> None:
    """Nothing is in hand yet, so it ends at once."""
    alone = Alone(tmp_path, database_url(server.url, "threadline"))
    try:
        alone.until(lambda: alone.said("/livez"))
        alone.process.terminate()
        assert alone.process.wait(30) == 0
    finally:
        alone.process.kill()
        alone.process.wait()
