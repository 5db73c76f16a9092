"""A source with numbered things that anybody can be asked to follow, for tests of the poller's host.

Not here: the host and what it stands on (`poller_rig`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from threadline_events.inbound import Author, Connector

from threadline_connectors.errors import PayloadError
from threadline_connectors.poller_host import Feed
from threadline_connectors.pollers import Batch, Fetched, Reading, Source
from threadline_connectors.said import NativeName, Said
from threadline_connectors.stamping import Stamp

__all__ = ["SOURCE", "T0", "Shelf", "WordReader", "shelf_feed"]

SOURCE = Source("acme-sms", "messages")
T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
_STAMP = Stamp("sms", "acme-sms", "acme", "poll", None, None, Connector(name="sms", version="1"), None)


@dataclass
class Shelf:
    """A source with numbered things, and a log of what was done to it. `out` are fetched and not yet published, `most_out` the most."""

    things: list[str]
    log: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    out: int = 0
    most_out: int = 0
    begin: str = "0"
    batch: int = 2

    async def start(self) -> str:
        """See the port."""
        self.log.append("start")
        return self.begin

    async def follow(self, position: str) -> AsyncIterator[Batch[str]]:
        """See the port; `errors` are raised first, one a call."""
        self.log.append(f"follow {position}")
        if self.errors:
            raise self.errors.pop(0)
        at = int(position)
        while at < len(self.things):
            some = tuple(
                Fetched(("messages", n), self.things[n], self.things[n].encode(), 1, "text/plain")
                for n in range(at, min(at + self.batch, len(self.things)))
            )
            at += len(some)
            self.out += len(some)
            self.most_out = max(self.most_out, self.out)
            yield Batch(some, str(at), caught_up=at == len(self.things), oldest=T0)
        await asyncio.Event().wait()

    async def published(self, batch: Batch[str]) -> None:
        """See the port."""
        self.out -= len(batch.payloads)
        self.log.append(f"published {batch.position}")

    async def close(self) -> None:
        """See the port."""
        self.log.append("close")


class WordReader:
    """Reads a word; what begins with `bad` is rejected, with `nothing` says nothing."""

    async def read(self, payloads: Sequence[Fetched[str]]) -> Sequence[Reading]:
        """See the port."""
        return [self._one(fetched) for fetched in payloads]

    def _one(self, fetched: Fetched[str]) -> Reading:
        if fetched.payload.startswith("bad"):
            return Reading(rejection=PayloadError("unreadable", "no"))
        if fetched.payload.startswith("nothing"):
            return Reading()
        author = Author(identity="sms:+4917012345678")
        return Reading(
            said=(
                Said(
                    kind="message.received",
                    name=NativeName(fetched.payload),
                    author=author,
                    occurred_at=T0,
                    order="1",
                    text=fetched.payload,
                ),
            )
        )


def shelf_feed(shelf: Shelf) -> Feed[str]:
    """The feed of a shelf."""
    return Feed(SOURCE, shelf, WordReader(), _STAMP)
