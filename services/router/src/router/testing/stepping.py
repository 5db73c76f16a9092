"""The real workers under a scheduler that decides, store operation by store operation, who runs next and who crashes.

Batches are taken apart: every document is read and written in a step of its own, as a store without transactions may do it.
Processes are plain coroutines driven by hand; nothing here needs an event loop, so a schedule is repeated exactly from its seed.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from threadline_events.records import Record
from threadline_runtime.sqlite import SqliteDatabase

from router.domain.documents import Claim, Edge, EntryDocument, IntakeRef, Strand
from router.store.port import Collection, ContactChange, EdgeChange, EntryRef, Outcome, Stored, StoredEdge, Waiting
from router.store.sqlite import SqliteTimeline
from router.store.sqlite_schema import STATEMENTS

__all__ = ["InlineDatabase", "SteppedBus", "SteppedTimeline", "finish", "step"]

T = TypeVar("T")


class _Step:
    """A point at which any other process may run, or this one may crash."""

    def __init__(self, what: tuple[object, ...]) -> None:
        self._what = what

    def __await__(self) -> Generator[tuple[object, ...], None, None]:
        yield self._what


async def step(*what: object) -> None:
    """Let the scheduler decide; `what` is shown in a trace."""
    await _Step(what)


def finish(process: Coroutine[Any, Any, T]) -> T:
    """Run a process alone to its end."""
    while True:
        try:
            process.send(None)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]


class InlineDatabase(SqliteDatabase):
    """A database in memory that runs every call at once in this thread."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        for statement in STATEMENTS:
            self._connection.execute(statement)

    async def write(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run it now."""
        return run(self._connection)

    async def read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run it now."""
        return run(self._connection)

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Look at what is stored, without a step."""
        return self._connection.execute(statement).fetchall()

    async def close(self) -> None:
        """Let go of the memory."""
        self._connection.close()


Committed = Callable[[ContactChange | EdgeChange], None]


class SteppedTimeline(SqliteTimeline):
    """The SQLite adapter with a step before every single document; `committed` is told of every compare-and-set that won."""

    def __init__(self, database: InlineDatabase, committed: Committed) -> None:
        super().__init__(database)
        self._committed = committed

    async def _mapped(self, name: str, read: Callable[[list[str]], Awaitable[Mapping[str, T]]], ids: Iterable[str]) -> dict[str, T]:
        found: dict[str, T] = {}
        for one in dict.fromkeys(ids):
            await step(name, one)
            found |= await read([one])
        return found

    async def contacts(self, contact_ids: Iterable[str]) -> Mapping[str, Stored]:
        """One by one."""
        return await self._mapped("contact", super().contacts, contact_ids)

    async def edges(self, link_ids: Iterable[str]) -> Mapping[str, StoredEdge]:
        """One by one."""
        return await self._mapped("edge", super().edges, link_ids)

    async def strands(self, strand_ids: Iterable[str]) -> Mapping[str, Strand]:
        """One by one."""
        return await self._mapped("strand", super().strands, strand_ids)

    async def refs(self, message_ids: Iterable[str]) -> Mapping[str, EntryRef]:
        """One by one."""
        return await self._mapped("ref", super().refs, message_ids)

    async def filed(self, message_ids: Iterable[str]) -> frozenset[str]:
        """One by one."""
        there: frozenset[str] = frozenset()
        for one in dict.fromkeys(message_ids):
            await step("filed", one)
            there |= await super().filed([one])
        return there

    async def named(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """One by one."""
        return await self._mapped("named", super().named, names)

    async def mentioning(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """One by one."""
        return await self._mapped("mentioning", super().mentioning, names)

    async def entries(self, message_ids: Iterable[str]) -> Mapping[str, EntryDocument]:
        """One by one."""
        return await self._mapped("entry", super().entries, message_ids)

    async def summaries(self, strand_ids: Iterable[str]) -> Mapping[str, Any]:
        """One by one."""
        return await self._mapped("summary", super().summaries, strand_ids)

    async def summary_heads(self, strand_ids: Iterable[str]) -> Mapping[str, Any]:
        """One by one."""
        return await self._mapped("summary head", super().summary_heads, strand_ids)

    async def edges_of(self, contact_ids: Iterable[str]) -> Sequence[Edge]:
        """Contact by contact; an edge between two of them as it was first seen."""
        found: dict[str, Edge] = {}
        for one in dict.fromkeys(contact_ids):
            await step("edges of", one)
            for edge in await super().edges_of([one]):
                found.setdefault(edge.link_id, edge)
        return list(found.values())

    async def strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """Owner by owner."""
        found: list[Strand] = []
        for one in sorted(set(owners)):
            await step("strands of", one)
            found += await super().strands_of([one])
        return found

    async def open_strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """Owner by owner."""
        found: list[Strand] = []
        for one in sorted(set(owners)):
            await step("open strands of", one)
            found += await super().open_strands_of([one])
        return found

    async def strands_joined_to(self, strand_ids: Iterable[str]) -> Sequence[Strand]:
        """Strand by strand."""
        found: list[Strand] = []
        for one in sorted(set(strand_ids)):
            await step("strands joined to", one)
            found += await super().strands_joined_to([one])
        return found

    async def commit_contacts(self, changes: Sequence[ContactChange]) -> frozenset[str]:
        """One by one."""
        won: frozenset[str] = frozenset()
        for change in changes:
            await step("commit", change.contact.contact_id, change.expected)
            one = await super().commit_contacts([change])
            if one:
                self._committed(change)
            won |= one
        return won

    async def commit_edge(self, change: EdgeChange) -> bool:
        """In a step."""
        await step("commit edge", change.edge.link_id, change.expected)
        won = await super().commit_edge(change)
        if won:
            self._committed(change)
        return won

    async def pull(self, collection: Collection, items: Sequence[tuple[str, int]]) -> None:
        """One by one."""
        for item in items:
            await step("pull", *item)
            await super().pull(collection, [item])

    async def write_strands(self, strands: Sequence[Strand]) -> None:
        """One by one."""
        for one in strands:
            await step("copy", one.strand_id, one.version)
            await super().write_strands([one])

    async def write_summaries(self, summaries: Sequence[Any]) -> frozenset[str]:
        """One by one."""
        won: frozenset[str] = frozenset()
        for one in summaries:
            await step("write summary", one.conversation_id, one.version)
            won |= await super().write_summaries([one])
        return won

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, EntryRef]:
        """One by one."""
        standing: dict[str, EntryRef] = {}
        for one in claims:
            await step("claim", one.message_id, one.party)
            standing |= await super().claim([one])
        return standing

    async def file(self, entries: Sequence[EntryDocument]) -> Mapping[str, EntryDocument]:
        """One by one."""
        stored: dict[str, EntryDocument] = {}
        for one in entries:
            await step("file", one.message_id)
            stored |= await super().file([one])
        return stored

    async def update_entries(self, entries: Sequence[EntryDocument]) -> frozenset[str]:
        """One by one."""
        won: frozenset[str] = frozenset()
        for one in entries:
            await step("update", one.message_id, one.version)
            won |= await super().update_entries([one])
        return won

    async def outcomes(self, intakes: Iterable[IntakeRef]) -> Mapping[IntakeRef, Outcome]:
        """In a step."""
        await step("outcomes")
        return await super().outcomes(intakes)

    async def outcomes_by_event(self, event_ids: Iterable[str]) -> Mapping[str, Sequence[Outcome]]:
        """In a step."""
        await step("outcomes by event")
        return await super().outcomes_by_event(event_ids)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """One by one."""
        for one in outcomes:
            await step("outcome", one.intake.intake_id, one.outcome)
            await super().record([one])

    async def wait(self, waiting: Sequence[Waiting]) -> None:
        """One by one."""
        for one in waiting:
            await step("wait", one.target)
            await super().wait([one])

    async def waiting_for(self, targets: Iterable[str]) -> Sequence[Waiting]:
        """In a step."""
        await step("waiting for")
        return await super().waiting_for(targets)

    async def wait_no_more(self, waiting: Sequence[Waiting]) -> None:
        """One by one."""
        for one in waiting:
            await step("wait no more", one.target)
            await super().wait_no_more([one])

    async def all_strand_ids(self) -> AsyncIterator[Sequence[str]]:
        """In steps."""
        async for page in super().all_strand_ids():
            await step("strand ids")
            yield page


class SteppedBus:
    """Takes published records one by one; `published` sees each."""

    def __init__(self, published: Callable[[Record], None]) -> None:
        self._published = published

    async def publish(self, records: Sequence[Record], *, then: Sequence[Record] = ()) -> None:
        """In steps, in order."""
        for record in (*records, *then):
            await step("publish", record.topic)
            self._published(record)
