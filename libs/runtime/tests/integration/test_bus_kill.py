"""A publisher and consumer that are killed at any moment lose nothing that was acknowledged (P1, P9)."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.sqlite import SqliteDatabase

pytestmark = pytest.mark.integration
_TOPIC = "threadline.suite.v1"
_ROUNDS = 6

_CHILD = """
import asyncio, os, sys
from threadline_events.records import Record
from threadline_runtime.bus.port import Subscription
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.sqlite import SqliteDatabase

async def main(folder, run):
    bus = await SqliteBus.open(SqliteDatabase.open(folder + "/bus.db"))
    effects = os.open(folder + "/effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async def handle(messages):
        os.write(effects, "".join(message.body + "\\n" for message in messages).encode())
    async def publish(worker):
        for n in range(100000):
            value = f"{run}/{worker}/{n}"
            await bus.publish([Record("threadline.suite.v1", str(worker).encode(), value.encode())])
            os.write(1, (value + "\\n").encode())
    consumer = bus.consume(Subscription(("threadline.suite.v1",), "g", lambda r: r.value.decode(), handle))
    await asyncio.gather(consumer, *(publish(worker) for worker in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def _killed_after(lines: int, folder: Path, run: int) -> set[str]:
    """Run the child and kill it once it has acknowledged so many records; all that it acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(folder), str(run)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    os.kill(child.pid, signal.SIGKILL)
    said += child.stdout.read().splitlines(keepends=True)
    child.wait()
    return {line.decode().strip() for line in said if line.endswith(b"\n")}


async def test_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(4)
    acknowledged: set[str] = set()
    for run in range(_ROUNDS):
        acknowledged |= _killed_after(chance.randrange(1, 400), tmp_path, run)
    bus = await SqliteBus.open(SqliteDatabase.open(tmp_path / "bus.db"))
    stored = [record async for record in bus.read(_TOPIC)]
    values = [(record.value or b"").decode() for record in stored]
    assert acknowledged <= set(values), "acknowledged and lost"
    assert len(values) == len(set(values))
    for worker in range(8):
        mine = [tuple(map(int, value.split("/"))) for value in values if value.split("/")[1] == str(worker)]
        assert mine == sorted(mine)
    effects = set((tmp_path / "effects").read_text().splitlines())
    for part in await bus.progress("g", [_TOPIC]):
        passed = {
            (r.value or b"").decode() for r in stored if r.position.partition == part.partition and r.position.offset < part.committed
        }
        assert passed <= effects, "committed without its effect"
    await bus.close()
