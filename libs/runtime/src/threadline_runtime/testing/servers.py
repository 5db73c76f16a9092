"""`make servers`: a Kafka and a server that speaks MongoDB's protocol on loopback until you press Ctrl-C; what they held is gone then.

Not here: how each is fetched and started (`kafka`, `mongodb`).
"""

import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack

import pytest

from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.mongodb import database_url, running_mongodb

__all__ = ["main"]


def main() -> int:
    """Start both, print what a process needs to use them, and wait. The status: 0 stopped, 2 where they cannot run here."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        try:
            kafka, mongodb = stack.enter_context(running_kafka()), stack.enter_context(running_mongodb())
        except pytest.skip.Exception as missing:
            sys.stderr.write(f"servers: {missing}\n")
            return 2
        _say({"THREADLINE_BUS__URL": kafka.url, "THREADLINE_DATABASE__URL": database_url(mongodb.url, "threadline")})
        stop.wait()
    return 0


def _say(addresses: Mapping[str, str]) -> None:
    for name, value in addresses.items():
        sys.stdout.write(f"export {name}={value}\n")
    sys.stdout.write("# running until Ctrl-C; topics are made by `python -m router migrate`\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
