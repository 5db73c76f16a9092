"""The router's stores over the database that the process opened: the one place that chooses adapters by its kind."""

from dataclasses import dataclass
from typing import Protocol

from threadline_runtime.opening import OpenDatabase
from threadline_runtime.sqlite import SqliteDatabase

from router.api import sqlite as api_sqlite
from router.api.idempotency import IdempotencyStore
from router.api.keys import KeyStore
from router.api.stores import UploadStore
from router.store import sqlite as store_sqlite
from router.store.port import DeskStore, JournalStore, OutcomeStore, TimelineStore
from router.store.sqlite_journal import SqliteJournal

__all__ = ["Stores", "Timeline", "migrate", "stores_of"]


class Timeline(TimelineStore, OutcomeStore, DeskStore, Protocol):
    """The timeline's three ports, kept by one adapter."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Every store of the router, over one database."""

    timeline: Timeline
    journal: JournalStore
    keys: KeyStore
    idempotency: IdempotencyStore
    uploads: UploadStore


def stores_of(database: OpenDatabase) -> Stores:
    """The stores that lie in it; `migrate` must have run."""
    if isinstance(database, SqliteDatabase):
        return Stores(
            timeline=store_sqlite.SqliteTimeline(database),
            journal=SqliteJournal(database),
            keys=api_sqlite.SqliteKeys(database),
            idempotency=api_sqlite.SqliteIdempotency(database),
            uploads=api_sqlite.SqliteUploads(database),
        )
    from router.api.mongo import MongoIdempotency, MongoKeys, MongoUploads
    from router.store.mongo import MongoTimeline
    from router.store.mongo_journal import MongoJournal

    return Stores(
        timeline=MongoTimeline(database),
        journal=MongoJournal(database),
        keys=MongoKeys(database),
        idempotency=MongoIdempotency(database),
        uploads=MongoUploads(database),
    )


async def migrate(database: OpenDatabase) -> None:
    """Make the router's tables or indexes; can run again."""
    if isinstance(database, SqliteDatabase):
        await store_sqlite.migrate(database)
        await api_sqlite.migrate(database)
        return
    from router.store import mongo

    await mongo.migrate(database)
