"""`make servers` prints addresses that work, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadline_runtime.opening import open_bus
from threadline_runtime.testing.kafka_jars import require_kafka
from threadline_runtime.testing.mongodb import require_mongodb
from threadline_runtime.testing.processes import is_listening

pytestmark = pytest.mark.integration


def start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "threadline_runtime.testing.servers"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)})


def left_in(folder: Path) -> list[Path]:
    return list(folder.glob("threadline-*"))


async def test_the_servers_answer_at_what_is_printed_and_are_gone_at_the_end(tmp_path: Path) -> None:
    require_kafka()
    require_mongodb()
    servers = start(tmp_path)
    try:
        assert servers.stdout is not None
        bus, database = (servers.stdout.readline().strip().removeprefix("export ") for _ in range(2))
        assert bus.startswith("THREADLINE_BUS__URL=kafka://")
        assert database.startswith("THREADLINE_DATABASE__URL=mongodb://")
        opened = await open_bus(bus.partition("=")[2], version="1")
        await opened.probe()
        await opened.close()
    finally:
        servers.terminate()
        assert servers.wait(30) == 0
    assert not is_listening(int(bus.rpartition(":")[2]))
    assert left_in(tmp_path) == []
