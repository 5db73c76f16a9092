"""The router's row on Kafka and MongoDB: from a batch of the inbound topic to the published changes, against bare clients in the same run.

Customers who are new (their first message, a fresh database for each run) and known ones (all later messages, with duplicates and edits
among them) are measured apart. Floor: aiokafka's `getmany`, one `model_validate_json` a record, and a batch one unordered bulk each of
entries, contacts and summaries, then gathered publishes and one commit. Its documents and records are those that our run has just made,
ready before the clock starts: it reads nothing and decides nothing. A last run, not timed, counts what our side asks the database.
Servers are started, or those that THREADLINE_TEST_KAFKA and THREADLINE_TEST_MONGODB_URI name are used.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from events import again, edited, received
from pace import Clock, ClockedWatch, Speed, compared
from pymongo import AsyncMongoClient, InsertOne, UpdateOne, WriteConcern, monitoring
from router.app import Router
from router.domain.documents import EntryDocument
from router.domain.views import conversation_changed, entry_changed
from routing import Place, emptied, publish, router_on, running, work_off
from threadline_events import topics
from threadline_events.ids import contact_id
from threadline_events.inbound import InboundEvent
from threadline_events.records import Record, timeline_record
from threadline_events.timeline import Conversation
from threadline_runtime.bus.kafka_connection import read_servers

_BATCH = 500
_SHARE = 0.05
Document = dict[str, Any]
Client = AsyncMongoClient[Document]


@dataclass(frozen=True)
class Load:
    """So many contacts, each with so many messages: the first message of each, then the others in parts, one more than is counted.

    What comes before the parts that count warms the servers, which compile what they run most while it runs.
    """

    contacts: int
    messages: int
    parts: int

    def new(self, part: int) -> list[InboundEvent]:
        """The first message of each contact."""
        return [received(part * self.contacts + contact, contact) for contact in range(self.contacts)]

    def known(self, part: int, chance: random.Random) -> list[InboundEvent]:
        """A share of the later messages in a random order, with duplicates and edits of some of them later in it."""
        numbers = [n for n in range(1, self.messages) if n % (self.parts + 1) == part]
        later = [received(1_000_000 + n * self.contacts + c, c) for n in numbers for c in range(self.contacts)]
        chance.shuffle(later)
        twice = [again(event, part) for event in chance.sample(later, int(len(later) * _SHARE))]
        changed = [edited(event, part) for event in chance.sample(later, int(len(later) * _SHARE))]
        return later + sorted(twice + changed, key=lambda event: event.event_id)


@dataclass(frozen=True)
class Written:
    """What our run has stored and published, as the floor writes and publishes it again."""

    entries: dict[str, Document]
    changes: dict[str, Document]
    contacts: dict[str, Document]
    summaries: dict[str, Document]
    entry_records: dict[str, Record]
    summary_records: dict[str, Record]
    strands: dict[str, str]


async def written(client: Client, name: str, events: Iterable[InboundEvent]) -> Written:
    """Read it back."""
    ids = list({event.message_id for event in events})
    of = list({contact_id(event.brand, event.author.identity) for event in events})
    database = client[name]
    entries = {one["_id"]: one for one in await database["router_entries"].find({"_id": {"$in": ids}}).to_list()}
    contacts = {one["_id"]: one for one in await database["router_contacts"].find({"_id": {"$in": of}}).to_list()}
    strands = list({one["strand_id"] for one in entries.values()})
    summaries = {one["_id"]: one for one in await database["router_summaries"].find({"_id": {"$in": strands}}).to_list()}
    read = {i: EntryDocument.model_validate_json(one["doc"]) for i, one in entries.items()}
    talks = {i: Conversation.model_validate_json(one["doc"]) for i, one in summaries.items()}
    return Written(
        entries=entries,
        changes={i: {k: one[k] for k in ("version", "shown", "rank", "intakes", "attachments", "doc")} for i, one in entries.items()},
        contacts=contacts,
        summaries=summaries,
        entry_records={i: timeline_record(entry_changed(entry)) for i, entry in read.items()},
        summary_records={i: timeline_record(conversation_changed(talk)) for i, talk in talks.items()},
        strands={entry.message_id: entry.strand_id or "" for entry in read.values()},
    )


def _upsert(document: Document) -> UpdateOne:
    fields = {name: value for name, value in document.items() if name != "_id"}
    return UpdateOne({"_id": document["_id"]}, {"$set": fields}, upsert=True)


class Floor:
    """The bare program: one consumer, one producer, three collections."""

    def __init__(self, place: Place, client: Client, group: str) -> None:
        self._servers = list(read_servers(place.kafka or ""))
        self._group = group
        concern = WriteConcern(w="majority", j=True)
        database = client.get_database(f"bench_floor_{time.time_ns()}", write_concern=concern)
        self._entries, self._contacts, self._summaries = database["entries"], database["contacts"], database["summaries"]

    async def work_off(self, count: int, ready: Written) -> Speed:
        """Work off so many records, and how fast that was."""
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, acks="all", enable_idempotence=True, compression_type="zstd")
        consumer = AIOKafkaConsumer(
            topics.INBOUND,
            bootstrap_servers=self._servers,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await producer.start()
        await consumer.start()
        clock = Clock(count)
        while not clock.full.is_set():
            found = await consumer.getmany(timeout_ms=200, max_records=_BATCH)
            events = [InboundEvent.model_validate_json(record.value) for records in found.values() for record in records]
            if events:
                await self._write(events, ready)
                await _publish(producer, events, ready)
                await consumer.commit({TopicPartition(p.topic, p.partition): records[-1].offset + 1 for p, records in found.items()})
                clock.took(len(events))
        await consumer.stop()
        await producer.stop()
        return clock.speed()

    async def _write(self, events: Sequence[InboundEvent], ready: Written) -> None:
        seen: set[str] = set()
        entries: list[InsertOne[Document] | UpdateOne] = []
        for event in events:
            first = event.kind == "message.received" and event.message_id not in seen
            if first and event.intake_id == ready.entries[event.message_id]["made_by"]:
                entries.append(InsertOne(ready.entries[event.message_id]))
                seen.add(event.message_id)
            else:
                entries.append(UpdateOne({"_id": event.message_id}, {"$set": ready.changes[event.message_id]}))
        fresh = [event for event in events if event.kind == "message.received"]
        contacts = {contact_id(event.brand, event.author.identity) for event in fresh}
        strands = {ready.strands[event.message_id] for event in fresh}
        await self._entries.bulk_write(entries, ordered=False)
        await self._contacts.bulk_write([_upsert(ready.contacts[i]) for i in contacts], ordered=False)
        await self._summaries.bulk_write([_upsert(ready.summaries[i]) for i in strands], ordered=False)


async def _publish(producer: AIOKafkaProducer, events: Sequence[InboundEvent], ready: Written) -> None:
    records = [ready.entry_records[event.message_id] for event in events]
    records += [ready.summary_records[i] for i in {ready.strands[e.message_id] for e in events if e.kind == "message.received"}]
    sends = [producer.send_and_wait(r.topic, r.value, key=r.key, headers=list(r.headers.items())) for r in records]
    await asyncio.gather(*sends)


class Asked(monitoring.CommandListener):
    """What a client asks of the server: commands by name, documents written by collection, and how long each was waited for."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()
        self._open: dict[int, str] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        kind = event.command_name
        self.commands[kind] += 1
        self._open[event.request_id] = f"{kind} {event.command[kind]}"
        for part in ("documents", "updates", "deletes"):
            if part in event.command:
                self.writes[f"{kind} {event.command[kind]}"] += len(event.command[part])

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self.waited[self._open.pop(event.request_id)] += event.duration_micros

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._open.pop(event.request_id)

    def clear(self) -> None:
        for counter in (self.commands, self.writes, self.waited):
            counter.clear()

    def told(self, events: int, batches: int) -> dict[str, object]:
        """Per record and per batch."""
        reads = self.commands["find"] + self.commands["aggregate"] + self.commands["getMore"]
        return {
            "records": events,
            "batches": batches,
            "writes_a_record": round(self.writes.total() / events, 2),
            "reads_a_batch": round(reads / batches, 2),
            "commands_a_batch": round(self.commands.total() / batches, 2),
            "writes_a_record_by_collection": {name: round(n / events, 3) for name, n in self.writes.most_common()},
            "ms_a_batch": {name: round(micros / 1000 / batches, 2) for name, micros in self.waited.most_common()},
        }


class Run:
    """The measuring, over one pair of servers."""

    def __init__(self, place: Place, load: Load) -> None:
        self._place, self._load = place, load
        self._watch = ClockedWatch()
        self._chance = random.Random(20261124)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        client: Client = AsyncMongoClient(self._place.mongodb, tz_aware=True)
        try:
            yield client
        finally:
            await client.close()

    async def _both(self, router: Router, floor: Floor, client: Client, url: str, events: Sequence[InboundEvent]) -> tuple[Speed, Speed]:
        """The same events worked off by us and then by the floor."""
        await publish(router.bus, events)
        ours = await work_off(router, self._watch, len(events))
        bare = await floor.work_off(len(events), await written(client, url.rpartition("/")[2], events))
        print(f"{len(events)} records: bare clients {bare.rate:.0f}/s, ours {ours.rate:.0f}/s", file=sys.stderr)
        return bare, ours

    @asynccontextmanager
    async def _fresh(self, client: Client, group: str) -> AsyncIterator[Callable[[Sequence[InboundEvent]], Awaitable[tuple[Speed, Speed]]]]:
        """A router and a floor, each with an empty database, that work the same events off."""
        with tempfile.TemporaryDirectory() as name:
            url = self._place.database_url(Path(name))
            floor = Floor(self._place, client, group)
            async with router_on(self._place, Path(name), self._watch, database_url=url) as router:
                yield lambda events: self._both(router, floor, client, url, events)

    async def timed(self, kind: str) -> dict[str, float]:
        """Interleaved parts; what comes before them warms the servers and is not counted."""
        await emptied(self._place)
        load, group, pairs = self._load, f"bench.floor.{time.time_ns()}", []
        async with self._client() as client:
            if kind == "known":
                async with self._fresh(client, group) as both:
                    await both(load.new(0))
                    pairs = [await both(load.known(part, self._chance)) for part in range(load.parts + 1)]
            else:
                for part in range(load.parts + 1):
                    async with self._fresh(client, group) as both:
                        pairs.append(await both(load.new(part)))
        return compared(pairs[1:])

    async def counted(self, kind: str) -> dict[str, object]:
        """What the database is asked; the listener costs time, so nothing is timed here."""
        asked = Asked()
        monitoring.register(asked)
        with tempfile.TemporaryDirectory() as name:
            async with router_on(self._place, Path(name), self._watch) as router:
                for events in (self._load.new(0), *([self._load.known(0, self._chance)] if kind == "known" else ())):
                    await publish(router.bus, events)
                    asked.clear()
                    await work_off(router, self._watch, len(events))
        return asked.told(len(events), self._watch.clock.batches)


async def measure(place: Place, load: Load, kind: str) -> dict[str, object]:
    """The row."""
    run = Run(place, load)
    return {"path": f"router, {kind} contacts", "load": vars(load), **await run.timed(kind), "asked": await run.counted(kind)}


def main() -> None:
    """Print the row."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--of", choices=("known", "new"), default="known", help="which contacts")
    arguments.add_argument("--contacts", type=int, default=2_000)
    arguments.add_argument("--messages", type=int, default=20, help="of each contact")
    arguments.add_argument("--parts", type=int, default=5, help="interleaved runs")
    arguments.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = arguments.parse_args()
    with running("kafka+mongodb") as place:
        row = asyncio.run(measure(place, Load(chosen.contacts, chosen.messages, chosen.parts), chosen.of))
    print(json.dumps(row) if chosen.json else json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
