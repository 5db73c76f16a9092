"""MongoDatabase: what each operation promises to the adapters, and what they are told when the server is away."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from pymongo import UpdateOne, monitoring
from threadline_runtime import mongo
from threadline_runtime.bus.dead_letters import Note
from threadline_runtime.bus.mongo_dead_letter_notes import MongoDeadLetterNotes
from threadline_runtime.bus.port import Position
from threadline_runtime.errors import ConfigurationError, PermanentError, TransientError
from threadline_runtime.mongo import MongoDatabase, Swap, index
from threadline_runtime.testing.mongodb import database_url, running_mongodb
from threadline_runtime.testing.ports import LOOPBACK
from threadline_runtime.testing.proxy import TcpProxy

pytestmark = pytest.mark.integration
AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


async def test_the_first_insert_stands_and_the_others_are_named(mongodb: MongoDatabase) -> None:
    """P2: `_id` is the claim; what is there already does not keep the rest of a batch from being stored."""
    things = mongodb.collection("things")
    assert await things.insert([{"_id": "a", "from": 1}, {"_id": "b", "from": 1}]) == frozenset()
    assert await things.insert([{"_id": "c", "from": 2}, {"_id": "a", "from": 2}, {"_id": "d", "from": 2}]) == {1}
    assert {one["_id"]: one["from"] for one in await things.find({})} == {"a": 1, "b": 1, "c": 2, "d": 2}


async def test_of_racing_swaps_one_wins(mongodb: MongoDatabase) -> None:
    """P2: of many that decided on the same version exactly one is stored, and only that one is told so."""
    things = mongodb.collection("things")
    for version in range(1, 6):
        swaps = [
            [Swap("a", version - 1, version, {"by_task": task}), Swap("b", version - 1, version, {"by_task": task})] for task in range(8)
        ]
        won = await asyncio.gather(*(things.swap(mine) for mine in swaps))
        for i in ("a", "b"):
            winners = [task for task, ids in enumerate(won) if i in ids]
            stored = await things.first({"_id": i})
            assert stored is not None
            assert [stored["by_task"]] == winners
            assert stored["version"] == version


async def test_documents_change_their_shape_while_they_are_written_out(mongodb: MongoDatabase) -> None:
    """P1: what a server writes to its file or to another client is a document as it was at one moment, and never an error."""
    things = mongodb.collection("things")
    ids = [f"{n}" for n in range(100)]
    await things.insert([{"_id": i} | {f"field {n}": "x" * 50 for n in range(200)} for i in ids])

    async def reshape(writer: int) -> None:
        for turn in range(60):
            mine = ids[writer::4]
            steps = ({"$set": {f"more {n}": turn for n in range(20)}}, {"$unset": {f"more {n}": True for n in range(20)}})
            await things.write([UpdateOne({"_id": i}, steps[turn % 2]) for i in mine])

    async with asyncio.TaskGroup() as tasks:
        writers = [tasks.create_task(reshape(writer)) for writer in range(4)]
        while not all(writer.done() for writer in writers):
            for found in await things.find({}):
                assert sum(name.startswith("more") for name in found) in {0, 20}


async def test_an_upsert_that_does_not_match_changes_nothing(mongodb: MongoDatabase) -> None:
    """P2: a condition beside the `_id` holds also where the document must be made."""
    things = mongodb.collection("things")
    changes = [UpdateOne({"_id": i, "rank": {"$lt": 5}}, {"$set": {"rank": 5}}, upsert=True) for i in ("a", "b")]
    await things.insert([{"_id": "a", "rank": 9}])
    await things.write(changes)
    assert {one["_id"]: one["rank"] for one in await things.find({})} == {"a": 9, "b": 5}
    assert await things.put({"_id": "a", "rank": {"$lt": 7}}, {"$set": {"rank": 7}}) is None


async def test_racing_upserts_all_count(mongodb: MongoDatabase) -> None:
    """P3: who loses the race for a new document changes it, instead of being dropped."""
    things = mongodb.collection("things")
    await asyncio.gather(*(things.write([UpdateOne({"_id": "a"}, {"$inc": {"count": 1}}, upsert=True)]) for _ in range(30)))
    assert [one["count"] for one in await things.find({})] == [30]


async def test_every_page_is_read(mongodb: MongoDatabase) -> None:
    """P3: paging leaves nothing out."""
    things = mongodb.collection("things")
    await things.insert([{"_id": f"{n:03}"} for n in range(25)])
    pages = [[one["_id"] for one in page] async for page in things.pages({}, order=[("_id", 1)], size=10)]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [one for page in pages for one in page] == [f"{n:03}" for n in range(25)]
    assert len(await things.by_ids(f"{n:03}" for n in range(100))) == 25


async def test_what_a_batch_needs_is_read_in_one_command(mongodb_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Design section 13: constant reads a batch; by itself a server answers the first 101 and waits to be asked for the others."""
    asked = Asked()
    monkeypatch.setattr(mongo, "AsyncMongoClient", partial(mongo.AsyncMongoClient, event_listeners=[asked]))
    database = MongoDatabase.open(database_url(mongodb_server, f"threadline_test_{uuid4().hex[:12]}"))
    things = database.collection("things")
    await things.insert([{"_id": n} for n in range(500)])

    found = await things.by_ids(range(500))
    await database.drop()
    await database.close()

    assert len(found) == 500
    assert [command["batchSize"] >= 500 for command in asked.reads] == [True]


class Asked(monitoring.CommandListener):
    """Keeps what a client reads."""

    def __init__(self) -> None:
        self.reads: list[Mapping[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in {"find", "getMore"}:
            self.reads.append(event.command)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Kept when it started."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Kept when it started."""


async def test_indexes_are_made_again_without_harm_and_a_changed_one_is_the_operators(mongodb: MongoDatabase) -> None:
    """Issue 5: `migrate` can run at every start."""
    for _ in range(2):
        await mongodb.make_indexes({"things": (index("a", "-b"), index("c", unique=True))})
    things = mongodb.collection("things")
    await things.insert([{"_id": 1, "c": 1}])
    assert await things.insert([{"_id": 2, "c": 1}]) == {0}


async def test_what_cannot_be_stored_is_permanent(mongodb: MongoDatabase) -> None:
    """P8: a record that can never be stored is set aside, not tried for ever."""
    things = mongodb.collection("things")
    for value in ("\ud800", 1 << 80):
        with pytest.raises(PermanentError):
            await things.insert([{"_id": "a", "value": value}])


async def test_notes_of_dead_letters(mongodb: MongoDatabase) -> None:
    """The first note stands; those of another topic are apart."""
    notes = MongoDeadLetterNotes(mongodb)
    await notes.migrate()
    first, later = Note("redriven", AT), Note("discarded", AT)
    place = Position("threadline.inbound.v1", 3, 1412)
    await notes.add(place, first)
    await notes.add(place, later)
    await notes.add(Position("threadline.commands.v1", 3, 1412), later)
    assert await notes.of_topic("threadline.inbound.v1") == {place: first}


async def test_a_server_that_stops_stalls_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """P8: while the server is away every operation says so, and everything acknowledged is there when it is back."""

    def patient(seconds: float) -> None:
        for name in ("_DEADLINE_SECONDS", "_BULK_SECONDS", "_PROBE_SECONDS"):
            monkeypatch.setattr(mongo, name, seconds)

    with running_mongodb() as server:
        database = MongoDatabase.open(database_url(server.url, "threadline"))
        things = database.collection("things")
        await things.insert([{"_id": n} for n in range(100)])
        server.stall()
        patient(0.5)
        with pytest.raises(TransientError, match=str(server.port)):
            await things.find({})
        with pytest.raises(TransientError):
            await database.probe()
        server.go_on()
        patient(30.0)
        assert len(await things.find({})) == 100
        server.stop()
        patient(0.5)
        for attempt in (things.find({}), things.insert([{"_id": "b"}]), things.swap([Swap("a", 1, 2, {})]), database.probe()):
            with pytest.raises(TransientError, match="does not answer"):
                await attempt
        server.start()
        patient(30.0)
        assert len(await things.find({})) == 100
        await database.close()
        with pytest.raises(TransientError):
            await things.find({})


async def test_many_writers_go_on_after_connections_were_lost_while_they_were_made() -> None:
    """P8: that others' attempts to connect failed is not taken for an outage again and again once the server answers."""
    with running_mongodb() as server, TcpProxy(server.port) as way:
        # what the URL says of this must not count
        database = MongoDatabase.open(database_url(f"mongodb://{LOOPBACK}:{way.port}", "threadline") + "?retryWrites=true")
        things = database.collection("things")
        await things.find({})

        async def write_all(writer: int) -> None:
            for number in range(20):
                while True:
                    with suppress(TransientError):
                        await things.put({"_id": f"{writer}/{number}"}, {"$set": {"at": AT}})
                        break
                    await asyncio.sleep(0.05)

        try:
            async with asyncio.timeout(60), asyncio.TaskGroup() as writers:
                way.hold(up=True, down=True)
                for writer in range(40):
                    writers.create_task(write_all(writer))
                await asyncio.sleep(0.5)
                way.cut()
                way.heal()
            assert len(await things.find({}, fields=["_id"])) == 800
        finally:
            await database.close()


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://",
        "mongodb://user:geheim@",
        "mongodb://h:port/x",
        "mongodb://u:ge/heim@h",
        "mongodb://u:geheim@h/?tls=maybe",
        "mongodb://h/?tsl=true",
    ],
)
async def test_a_url_that_cannot_be_used_is_the_operators(url: str) -> None:
    """The message names the variable and never the password."""
    with pytest.raises(ConfigurationError, match="THREADLINE_DATABASE__URL") as caught:
        MongoDatabase.open(url)
    assert "heim" not in str(caught.value)
