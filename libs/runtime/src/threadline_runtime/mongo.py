"""A MongoDB database: the client with its deadlines and concerns, and the few operations that all adapters are made of.

Every write is atomic on one document, with the classic update operators. What `w=majority` has acknowledged stays; what is read with
read concern `majority` stays too, so that doing nothing because something was read is safe. Not here: collections and their indexes
(each store brings its own), and which error asks for what (`mongo_errors`).
"""

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import pymongo
from bson import ObjectId
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel, InsertOne, ReturnDocument, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.operations import DeleteOne
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from threadline_runtime.errors import ConfigurationError, TransientError
from threadline_runtime.mongo_errors import code_of, mapped
from threadline_runtime.secrets import shown_url

__all__ = ["Document", "Indexes", "MongoCollection", "MongoDatabase", "Swap", "compound_id", "index"]

T = TypeVar("T")
Document: TypeAlias = dict[str, Any]
"""A document as it is stored; it does not leave the adapters."""
Indexes: TypeAlias = Mapping[str, Sequence[IndexModel]]
"""The indexes of a service, by collection."""
Change: TypeAlias = "InsertOne[Document] | UpdateOne | DeleteOne"
Order: TypeAlias = Sequence[tuple[str, int]]

_DEADLINE_SECONDS = 10.0
_BULK_SECONDS = 30.0
_PROBE_SECONDS = 2.5
_WHOLE_READ_SECONDS = 900.0
_CLOSE_SECONDS = 2.0
_CONNECT_MS = 5000
_CONNECTIONS = 50
_MOST_AT_ONCE = 5000
_DEFAULT_NAME = "threadline"


@dataclass(frozen=True, slots=True)
class Swap:
    """A compare-and-set: stored where the version is still `expected` (0: where there is no such document).

    `push` is appended to arrays; a new document begins with it.
    """

    id: str
    expected: int
    version: int
    fields: Document
    push: Document = field(default_factory=dict)


def compound_id(*parts: str | int | None) -> str:
    """One `_id` out of several parts, which no other parts share. Text, as servers differ in how they compare documents."""
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


class MongoDatabase:
    """A database on a server, a replica set or a sharded cluster, shared by everything in one process and one event loop."""

    def __init__(self, client: "AsyncMongoClient[Document]", name: str, where: str) -> None:
        self._client = client
        self._database = client.get_database(
            name,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True),
        )
        self.where = where
        self._under_way: set[asyncio.Task[Any]] = set()

    @classmethod
    def open(cls, url: str) -> "MongoDatabase":
        """The database that the URL names (`threadline` where it names none); connects when it is first asked.

        Must be called inside the event loop. Raises ConfigurationError for a URL that cannot be used.
        """
        split = urlsplit(url)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # else an option with a wrong name or value is left out
                client: AsyncMongoClient[Document] = AsyncMongoClient(
                    url,
                    tz_aware=True,
                    connect=False,
                    maxPoolSize=_CONNECTIONS,
                    retryWrites=False,  # see ask
                    serverSelectionTimeoutMS=_CONNECT_MS,
                    connectTimeoutMS=_CONNECT_MS,
                    appname="threadline",
                )
            name = client.get_default_database(_DEFAULT_NAME).name
        except (PyMongoError, UserWarning, ValueError, TypeError) as error:
            # Of a password that is not percent-encoded, or has lost its host, a part would stand in the client's text.
            clear = "@" not in url and "..." not in shown_url(url)
            why = str(error) if clear else "user and password must be percent-encoded; look at the options, too"
            raise ConfigurationError(f"THREADLINE_DATABASE__URL: cannot use {split.scheme}://...: {why}") from None
        return cls(client, name, split.netloc.rpartition("@")[2])

    def collection(self, name: str) -> "MongoCollection":
        """A collection; it need not exist."""
        return MongoCollection(self, self._database[name])

    async def make_indexes(self, indexes: Indexes) -> None:
        """Create what is missing; waits as long as it takes on a large collection. Raises TransientError, ConfigurationError."""
        for name, wanted in indexes.items():
            await self.ask(None, self._database[name].create_indexes(list(wanted)))

    async def probe(self) -> None:
        """Write one small document; raises what a write would raise."""
        mark = {"$set": {"at": ObjectId()}}
        await self.ask(_PROBE_SECONDS, self._database["runtime_probe"].update_one({"_id": "probe"}, mark, upsert=True))

    async def drop(self) -> None:
        """Remove the whole database; for tests."""
        await self.ask(_DEADLINE_SECONDS, self._client.drop_database(self._database.name))

    async def close(self) -> None:
        """Let go of the connections within a few seconds, also where the server does not answer. A second call does nothing."""
        closing = asyncio.create_task(self._client.close())  # says good-bye to the server, without a deadline of its own
        for _ in range(2):
            await asyncio.wait([closing, *self._under_way], timeout=_CLOSE_SECONDS)
            for task in (closing, *self._under_way):
                task.cancel()  # nobody asks this client any more

    async def ask(self, seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
        """What an operation of the client answers within a deadline; its errors get the type that says what to do.

        It is never broken off: who is cancelled only stops waiting for it. On Python 3.11 a cancel at the wrong moment leaves a lock of
        the client taken for ever, and every later operation with it (`asyncio.wait_for` ends before what it waits for has).
        Writes are not tried again by the client but by who asked (ADR 0005): on a server that does not support retryable writes
        (a `mongod` by itself) PyMongo 4.20 raises the first error once more when it has a new connection, takes that for a failure of
        the connection, and drops all the others with it, in whose place others fail in the same way, without end.
        """
        told: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with pymongo.timeout(seconds):
            task = asyncio.create_task(_worked(work, told))
        self._under_way.add(task)
        task.add_done_callback(partial(self._ended, told, work))
        try:
            return await told
        except (PyMongoError, BSONError, UnicodeError, OverflowError) as error:
            raise mapped(error, self.where) from error
        finally:
            del told, task  # else an error would hold this frame, and with it what was to be written, until somebody looks for garbage

    async def ask_part(self, work: Coroutine[Any, Any, T]) -> T:
        """A part of a read that has many: each is waited for as long as for any other operation.

        The server, which is told of the deadline with the first part, counts the work for all of them against it.
        """
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return await self.ask(_WHOLE_READ_SECONDS, work)
        except TimeoutError as error:
            raise TransientError(f"MongoDB at {self.where} does not answer") from error

    def _ended(self, told: "asyncio.Future[T]", work: Coroutine[Any, Any, T], task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not told.done():  # `close` has cancelled it, perhaps before its first step
            work.close()
            told.cancel()


async def _worked(work: Coroutine[Any, Any, T], told: "asyncio.Future[T]") -> None:
    """Do it and tell who asked, unless he left; in one turn of the loop, where a shielded task takes two."""
    try:
        answer = await work
    except Exception as error:
        if not told.done():
            told.set_exception(error)
    else:
        if not told.done():
            told.set_result(answer)
    finally:
        del told, work  # see ask


class MongoCollection:
    """One collection. Every method raises TransientError when the server does not answer, ConfigurationError for a refused login."""

    def __init__(self, database: MongoDatabase, collection: "AsyncCollection[Document]") -> None:
        self._database = database
        self._collection = collection

    async def find(self, where: Document, *, fields: Sequence[str] = (), order: Order = (), limit: int = 0) -> list[Document]:
        """The documents, whole or with these fields and `_id` only; `limit` 0 is none."""
        # By itself a server answers 101 documents and is asked again for the others.
        cursor = self._collection.find(where, list(fields) or None, limit=limit, sort=list(order) or None, batch_size=_MOST_AT_ONCE)
        return await self._database.ask(_DEADLINE_SECONDS, cursor.to_list())

    async def first(self, where: Document, *, order: Order = ()) -> Document | None:
        """The first of them."""
        return await self._database.ask(_DEADLINE_SECONDS, self._collection.find_one(where, sort=list(order) or None))

    async def by_ids(self, ids: Iterable[Any], *, fields: Sequence[str] = ()) -> list[Document]:
        """Those that there are of any number of ids."""
        wanted = list(ids)
        found: list[Document] = []
        for start in range(0, len(wanted), _MOST_AT_ONCE):
            found += await self.find({"_id": {"$in": wanted[start : start + _MOST_AT_ONCE]}}, fields=fields)
        return found

    async def pages(
        self, where: Document, *, order: Order = (), fields: Sequence[str] = (), size: int = 500
    ) -> AsyncIterator[list[Document]]:
        """All of them, a page at a time, in bounded memory."""
        cursor = self._collection.find(where, list(fields) or None, sort=list(order) or None, batch_size=size)
        idle = True
        try:
            while True:
                idle = False
                page = await self._database.ask_part(cursor.to_list(size))
                idle = True
                if not page:
                    return
                yield page
        finally:
            if idle:  # else a read is under way that was given up, or failed; the server lets go of the cursor by itself
                await self._database.ask(_DEADLINE_SECONDS, cursor.close())

    async def grouped(self, stages: Sequence[Document]) -> list[Document]:
        """The answer of an aggregation."""

        async def answered() -> list[Document]:
            return await (await self._collection.aggregate(list(stages))).to_list()

        return await self._database.ask(_DEADLINE_SECONDS, answered())

    async def insert(self, documents: Sequence[Document]) -> frozenset[int]:
        """Insert each where nothing has its `_id`; the places of those that found one there."""
        if not documents:
            return frozenset()
        _, refused = await self._bulk([InsertOne(document) for document in documents])
        return refused

    async def write(self, changes: Sequence[Change]) -> None:
        """Do all of these, in any order.

        An upsert whose filter asks for more than the `_id` does nothing where the document is there and does not match.
        """
        if not changes:
            return
        _, refused = await self._bulk(changes)
        # Refused upserts either lost a race for a new document, which the second time they find, or do not match it.
        if refused:
            await self._bulk([changes[place] for place in sorted(refused)])

    async def change(self, where: Document, change: Document) -> bool:
        """Change the one document that matches; False where there is none."""
        return (await self._database.ask(_DEADLINE_SECONDS, self._collection.update_one(where, change))).matched_count == 1

    async def put(self, where: Document, change: Document) -> Document | None:
        """Change the document or make it, and answer it as it is then; None where it is there and does not match."""
        for _ in range(2):  # a refused insert may have lost a race for a new document, which the second time it finds
            refused, found = await self._database.ask(_DEADLINE_SECONDS, self._put(where, change))
            if not refused:
                return found
        return None

    async def _put(self, where: Document, change: Document) -> tuple[bool, Document | None]:
        try:
            return False, await self._collection.find_one_and_update(where, change, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:
            return True, None

    async def delete(self, where: Document) -> None:
        """Remove the one document that matches, if any."""
        await self._database.ask(_DEADLINE_SECONDS, self._collection.delete_one(where))

    async def swap(self, swaps: Sequence[Swap]) -> frozenset[str]:
        """Compare-and-set each; the ids of those stored.

        One that was stored and overwritten before we could look may be missing: who lost reads again and finds it decided.
        """
        mark = ObjectId()
        new = [one for one in swaps if one.expected == 0]
        old = [one for one in swaps if one.expected != 0]
        changes = [InsertOne(_new(one, mark)) for one in new] + [_replacing(one, mark) for one in old]
        matched, refused = await self._bulk(changes) if changes else (0, frozenset[int]())
        won = {one.id for place, one in enumerate(new) if place not in refused}
        if matched == len(old):
            return frozenset(won.union(one.id for one in old))
        found = await self.by_ids([one.id for one in old], fields=["by"])
        return frozenset(won.union(one["_id"] for one in found if one.get("by") == mark))

    async def _bulk(self, changes: Sequence[Change]) -> tuple[int, frozenset[int]]:
        """How many documents matched, and the places of what was refused because its `_id` is there."""
        return await self._database.ask(_BULK_SECONDS, self._written(changes))

    async def _written(self, changes: Sequence[Change]) -> tuple[int, frozenset[int]]:
        try:
            done = await self._collection.bulk_write(list(changes), ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            if code_of(error) is not None or details.get("writeConcernErrors"):
                raise
            return int(details.get("nMatched", 0)), frozenset(int(item["index"]) for item in details["writeErrors"])
        return done.matched_count, frozenset()


def index(*keys: str, unique: bool = False, kept: timedelta | None = None) -> IndexModel:
    """An index over these fields; `-field` descends. With `kept` a document ends so long after the time in the (only) field."""
    spelled = [(key.removeprefix("-"), DESCENDING if key.startswith("-") else ASCENDING) for key in keys]
    ending = {"expireAfterSeconds": int(kept.total_seconds())} if kept else {}
    return IndexModel(spelled, unique=unique, **ending)


def _new(swap: Swap, mark: ObjectId) -> Document:
    begun = {name: [value] for name, value in swap.push.items()}
    return {"_id": swap.id, "version": swap.version, "by": mark, **swap.fields, **begun}


def _replacing(swap: Swap, mark: ObjectId) -> UpdateOne:
    change: Document = {"$set": {"version": swap.version, "by": mark, **swap.fields}}
    if swap.push:
        change["$push"] = swap.push
    return UpdateOne({"_id": swap.id, "version": swap.expected}, change)
