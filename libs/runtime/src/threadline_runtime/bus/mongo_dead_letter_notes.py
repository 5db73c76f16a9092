"""Notes on dead letters, in MongoDB."""

from collections.abc import Mapping

from threadline_runtime.bus.dead_letters import Note
from threadline_runtime.bus.port import Position
from threadline_runtime.mongo import Document, Indexes, MongoDatabase, compound_id, index

__all__ = ["MongoDeadLetterNotes"]

_COLLECTION = "runtime_dead_letter_notes"
_INDEXES: Indexes = {_COLLECTION: (index("topic"),)}


class MongoDeadLetterNotes:
    """The `DeadLetterNotes` port."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._notes = database.collection(_COLLECTION)

    async def migrate(self) -> None:
        """Make the index if it is not there."""
        await self._database.make_indexes(_INDEXES)

    async def add(self, origin: Position, note: Note) -> None:
        """See the port."""
        place = {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset}
        place_id = compound_id(origin.topic, origin.partition, origin.offset)
        await self._notes.insert([{"_id": place_id, **place, "action": note.action, "at": note.at}])

    async def of_topic(self, topic: str) -> Mapping[Position, Note]:
        """See the port."""
        return {_position(found): Note(found["action"], found["at"]) for found in await self._notes.find({"topic": topic})}


def _position(found: Document) -> Position:
    return Position(found["topic"], found["partition"], found["offset"])
