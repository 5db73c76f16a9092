"""The timeline's stores on MongoDB, put together; `migrate` makes the indexes."""

from threadline_runtime.mongo import MongoDatabase

from router.store.mongo_deciders import MongoDeciders
from router.store.mongo_entries import MongoEntries
from router.store.mongo_indexes import INDEXES
from router.store.mongo_outcomes import MongoOutcomes
from router.store.mongo_strands import MongoStrands

__all__ = ["MongoTimeline", "migrate"]


class MongoTimeline(MongoDeciders, MongoStrands, MongoEntries, MongoOutcomes):
    """TimelineStore, OutcomeStore and DeskStore in one database."""

    def __init__(self, database: MongoDatabase) -> None:
        for part in (MongoDeciders, MongoStrands, MongoEntries, MongoOutcomes):
            part.__init__(self, database)


async def migrate(database: MongoDatabase) -> None:
    """Make the indexes that are missing, those of the API too; can run again."""
    await database.make_indexes(INDEXES)
