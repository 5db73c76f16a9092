"""The latency row: from the publish call until a client of the REST API has read the entry, standalone or on Kafka and MongoDB.

Standalone one process, as `threadline up` runs: bus, the router's consumers and its API over HTTP on loopback; on servers the router is
a process of its own. The client, another process, follows `GET /v1/stream` as the page does, and when a change is told it reads the
entry; the time ends with that answer. Two loads: one message a second, and a steady rate (a tenth of the top rate of the place).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from events import intake_of, received
from router import app as router_app
from router.api.keys import ensure_first_key
from routing import PLACES, Place, configured, emptied, running
from threadline_cli.foundations import opened
from threadline_cli.testing.alone import RouterAlone, Site
from threadline_cli.testing.own_process import FIRST_KEY
from threadline_events.records import inbound_record, intake_record
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.port import Bus
from threadline_runtime.http import HttpServer
from threadline_runtime.settings import Settings

_CONTACTS = 500
_WARM_SECONDS = 15.0
"""Servers that were started a moment ago, or had nothing to do for long, compile while they are measured."""


class Api:
    """Just enough of HTTP/1.1 to read from a server on loopback: a client that costs little, as the server shares its two cores."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def asked(self, path: str) -> Connection:
        """A connection on which the path was asked for and the head of a good answer was read; the head's length is kept."""
        while self._idle and self._idle[-1].reader.at_eof():  # the server ends those that were idle for seconds
            self._idle.pop()
        connection = self._idle.pop() if self._idle else Connection(*await asyncio.open_connection("127.0.0.1", self._port))
        await connection.ask(path)
        return connection

    async def read(self, path: str) -> bytes:
        """The body of the answer."""
        connection = await self.asked(path)
        body = await connection.reader.readexactly(connection.length)
        self._idle.append(connection)
        return body


class Connection:
    """One connection, and the length that the last answer announced."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer
        self.length = 0

    async def ask(self, path: str) -> None:
        """Ask, and read the head of the answer."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {FIRST_KEY}\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise RuntimeError(head.decode())
        _, _, length = head.partition(b"content-length: ")
        self.length = int(length.split(b"\r\n")[0]) if length else 0


async def follow(port: int) -> None:
    """The client, a process of its own: follow the stream, read each entry told of, print its id and when it was read."""
    api = Api(port)
    stream = await api.asked("/v1/stream")
    async with asyncio.TaskGroup() as reads:

        async def read(message_id: str) -> None:
            answer = json.loads(await api.read(f"/v1/messages/{message_id}"))
            assert answer["message_id"] == message_id
            print(message_id, time.perf_counter(), flush=True)

        print("ready", flush=True)
        async for line in stream.reader:  # a frame is a chunk, so the lengths of chunks stand on lines of their own
            if line.startswith(b"data:") and b'"entry.changed"' in line:
                reads.create_task(read(json.loads(line[5:])["entry"]["message_id"]))


class Client:
    """The other process, seen from here. `perf_counter` is one clock for all processes of a machine."""

    def __init__(self) -> None:
        self._read: dict[str, asyncio.Future[float]] = {}
        self.ready = asyncio.Event()

    async def run(self, port: int) -> None:
        """Keep the process until cancelled."""
        program = [sys.executable, __file__, "--follow", str(port)]
        process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                words = line.decode().split()
                if words == ["ready"]:
                    self.ready.set()
                elif words[0] in self._read:
                    self._read.pop(words[0]).set_result(float(words[1]))
        finally:
            for waiting in self._read.values():
                waiting.set_exception(RuntimeError("the client has ended"))
            process.kill()
            await process.wait()

    async def latency(self, bus: Bus, number: int) -> float:
        """Seconds from the publish call until the entry was read."""
        event = received(number, number % _CONTACTS)
        records = [inbound_record(event)], [intake_record(intake_of(event))]
        read = self._read[event.message_id] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        await bus.publish(records[0], then=records[1])
        return await read - started


async def at_rate(bus: Bus, client: Client, rate: float, count: int, first: int) -> list[float]:
    """Latencies of `count` messages published at a steady rate, whatever each of them takes."""
    tasks = []
    started = time.perf_counter()
    for n in range(count):
        await asyncio.sleep(max(0.0, started + (n + random.uniform(-0.1, 0.1)) / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(client.latency(bus, first + n)))
    return list(await asyncio.gather(*tasks))


def row(latencies: Sequence[float], rate: float) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {"per_second": rate, "messages": len(latencies), "p50_ms": round(cuts[49] * 1000, 1), "p99_ms": round(cuts[98] * 1000, 1)}


@asynccontextmanager
async def in_a_folder(data: Path) -> AsyncIterator[tuple[Bus, int]]:
    """Bus and API in this process, as `threadline up` has them."""
    await asyncio.to_thread(data.mkdir)
    async with AsyncExitStack() as stack:
        given = await stack.enter_async_context(opened(data, Settings().in_folder(data), configured(data.parent)))
        base = given.base
        await router_app.migrate(base.database)
        around = router_app.Surroundings(base.bus, base.database, base.blobs, base.configuration, given.signing, base.metrics, os.urandom)
        router = router_app.build_router(around)
        await ensure_first_key(router.keys, FIRST_KEY, random=os.urandom(32), now=datetime.now(UTC))
        door = HttpServer.claim("127.0.0.1", 0)
        stack.callback(door.close)
        tasks = [asyncio.create_task(router.run()), asyncio.create_task(door.serve(router.web))]
        yield base.bus, door.port
        await router.feed.close()
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks)


@asynccontextmanager
async def on_servers(place: Place, folder: Path) -> AsyncIterator[tuple[Bus, int]]:
    """A bus of our own, as a connector has it, and the API of `python -m router`."""
    kafka = place.kafka or ""
    configured(folder)
    site = Site(folder, folder / "threadline.yaml", kafka, place.database_url(folder))
    (await asyncio.to_thread(site.migrate, "router")).check_returncode()
    bus = KafkaBus.open(kafka)
    try:
        with RouterAlone(site) as router:
            router.until("the feed of the API", lambda: router.readiness().is_success or None, within=60)
            yield bus, router.port
    finally:
        await bus.close()


async def measure(place: Place, rate: float, seconds: float) -> list[dict[str, float]]:
    """Both loads, on what nobody used before."""
    await emptied(place)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with in_a_folder(folder / "data") if place.kafka is None else on_servers(place, folder) as (bus, port):
            client = Client()
            following = asyncio.create_task(client.run(port))
            await client.ready.wait()
            warm = int(rate * _WARM_SECONDS)
            await at_rate(bus, client, rate, warm, 0)
            rows = [
                row(await at_rate(bus, client, 1.0, max(100, int(seconds)), 1_000_000), 1.0),
                row((await at_rate(bus, client, rate, warm + int(rate * seconds), 2_000_000))[warm:], rate),
            ]
            following.cancel()
            await asyncio.wait([following])
    return rows


def main() -> None:
    """Print both rows."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--on", choices=PLACES, default="sqlite", help="where bus and database lie")
    arguments.add_argument("--rate", type=float, default=50.0, help="messages a second of the steady load")
    arguments.add_argument("--seconds", type=float, default=30.0)
    arguments.add_argument("--follow", type=int, metavar="PORT", help="be the client (used by this program itself)")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    if chosen.follow:
        asyncio.run(follow(chosen.follow))
        return
    with running(chosen.on) as place:
        rows = asyncio.run(measure(place, chosen.rate, chosen.seconds))
    if chosen.json:
        print(json.dumps({"path": "latency", "on": chosen.on, "rows": rows}))
        return
    for one_row in rows:
        print(f"{one_row['per_second']:8} messages/s: p50 {one_row['p50_ms']} ms, p99 {one_row['p99_ms']} ms over {one_row['messages']}")


if __name__ == "__main__":
    main()
