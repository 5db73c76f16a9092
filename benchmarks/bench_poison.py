"""What poison costs: the router's inbound consumer over good mail alone, and over the same mail with as many unreadable records between.

Five interleaved runs on SQLite, or with `--servers` on a Kafka and a MongoDB-wire server of its own; medians, and the ratio of good
mails a second. At least 0.5 is asked for. Prints CPU, too, since others may use the machine.
"""

import argparse
import asyncio
import logging
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import structlog
from router.app import migrate
from router.testing.small_shop import router_on
from threadline_cli.testing.flood import Flood, Passed, pass_through
from threadline_runtime.opening import migrate_bus, open_bus, open_database
from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.mongodb import database_url, running_mongodb


@contextmanager
def places(servers: bool) -> Iterator[tuple[str, str]]:
    """The URLs of a fresh bus and a fresh database."""
    if servers:
        with running_kafka() as kafka, running_mongodb() as mongodb:
            yield kafka.url, database_url(mongodb.url, "threadline")
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/bus.db", f"sqlite:///{folder}/threadline.db"


async def run(urls: tuple[str, str], flood: Flood) -> Passed:
    """One run over empty places."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bus = await open_bus(urls[0], version="bench")
        stack.push_async_callback(bus.close)
        database = open_database(urls[1])
        stack.push_async_callback(database.close)
        await migrate(database)
        await migrate_bus(bus)
        router = router_on(bus, database, folder)
        return await pass_through(router, flood.records(), within=900)


def main() -> None:
    """Interleave the runs and print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--servers", action="store_true", help="Kafka and a MongoDB-wire server instead of SQLite")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())
    found: dict[str, list[Passed]] = {"clean": [], "poisoned": []}
    for seed in range(arguments.runs):
        for name, poison in (("clean", 0), ("poisoned", arguments.good)):
            with places(arguments.servers) as urls:
                found[name].append(asyncio.run(run(urls, Flood(arguments.good, poison, seed))))
    rates = {name: arguments.good / statistics.median(one.seconds for one in runs) for name, runs in found.items()}
    cpu = {name: 1000 * statistics.median(one.cpu for one in runs) / arguments.good for name, runs in found.items()}
    for name, rate in rates.items():
        print(f"{name:9} {rate:8.0f} good mails/s  {cpu[name]:6.2f} ms of CPU a good mail")
    print(f"ratio     {rates['poisoned'] / rates['clean']:8.2f} (asked for: 0.50); by CPU {cpu['clean'] / cpu['poisoned']:.2f}")


if __name__ == "__main__":
    main()
