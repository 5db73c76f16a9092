"""Carrying out what outboxes owe: entries filed and published, strand copies written, people aligned, summaries derived.

Oldest first; every step may run twice, late, or beside itself. An item is taken out when all of it is done. What is published is
what is stored, never what was computed. Not here: deciding (`pipeline`, `commands`, `linking`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from threadline_events.records import Record, outbound_record, timeline_record
from threadline_runtime.failpoints import failpoint

from router.aligning import align
from router.amending import Amending
from router.changing import Changer
from router.closing import amend, attend, close
from router.deriving import derive, rederive
from router.domain.documents import EntryDocument, OutboxItem, Strand
from router.domain.views import entry_changed
from router.parts import Parts
from router.store.port import Collection, Owed, Stored, StoredEdge

__all__ = ["Outbox", "Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """An item of a document's outbox."""

    collection: Collection
    owner: str
    item: OutboxItem


def _tasks(collection: Collection, owner: str, items: Iterable[OutboxItem]) -> list[Task]:
    return [Task(collection, owner, item) for item in items]


class Outbox:
    """Carries out items, many documents at once, in as many round trips as for one."""

    def __init__(self, parts: Parts, amending: Amending) -> None:
        self._parts = parts
        self._amending = amending
        self._changer = Changer(parts, self._carry_copies, self._carry_own)

    async def carry(self, owed: Iterable[Owed]) -> None:
        """Carry out everything these documents owe."""
        contacts = [o.owner for o in owed if o.collection == "contacts"]
        edges = [o.owner for o in owed if o.collection == "edges"]
        tasks = await self._read_contacts(contacts) if contacts else []
        tasks += await self._read_edges(edges) if edges else []
        await self.perform(tasks)

    async def _read_contacts(self, ids: Sequence[str]) -> list[Task]:
        found: dict[str, Stored] = dict(await self._parts.timeline.contacts(ids))
        return [task for i, stored in found.items() for task in _tasks("contacts", i, stored.outbox)]

    async def _read_edges(self, ids: Sequence[str]) -> list[Task]:
        found: dict[str, StoredEdge] = dict(await self._parts.timeline.edges(ids))
        return [task for i, stored in found.items() for task in _tasks("edges", i, stored.outbox)]

    async def _carry_own(self, owner: str, stored: Stored) -> None:
        await self.perform(_tasks("contacts", owner, stored.outbox))

    async def _carry_copies(self, stored: Stored) -> None:
        """File and copy what a contact owes of its strands, without the rest: a change made from outside goes on top of it."""
        plain = [i for i in stored.outbox if i.close is None and i.attend is None and i.amend is None]
        filed = await self._file([e for item in plain for e in item.entries])
        await self._copy([s for item in plain for s in item.strands])
        await self._publish(filed)

    async def perform(self, tasks: Sequence[Task]) -> None:
        """Carry out items (each document's oldest first) and take them out."""
        if not tasks:
            return
        await failpoint("router.outbox.before_entries")
        filed = await self._file([e for task in tasks for e in await self._answered(task)])
        await failpoint("router.outbox.after_entries")
        await self._copy([s for task in tasks for s in task.item.strands])
        await failpoint("router.outbox.after_strands")
        await self._publish(filed)
        await failpoint("router.outbox.after_publish")
        aligned = dict.fromkeys(c for task in tasks for c in task.item.align)
        if aligned:
            await align(self._parts, self._changer.change, aligned)
            await failpoint("router.outbox.after_align")
        derived = dict.fromkeys(s for task in tasks for s in task.item.derive)
        if derived:
            await derive(self._parts, derived)
            await failpoint("router.outbox.after_derive")
        linked = dict.fromkeys(c for task in tasks for c in task.item.rederive)
        if linked:
            await rederive(self._parts, linked)
        await failpoint("router.outbox.before_pull")
        await self._pull(tasks)
        await failpoint("router.outbox.after_pull")

    async def _answered(self, task: Task) -> Sequence[EntryDocument]:
        """The item's entries; a command whose step reaches into other documents is answered by what the step found."""
        item = task.item
        if item.close is None and item.attend is None and item.amend is None:
            return item.entries
        entry = item.entries[0]
        if entry.message_id in await self._parts.timeline.entries([entry.message_id]):
            return item.entries
        result = await self._step(item, entry.party)
        return [entry.model_copy(update={"result": result, "shown": entry.shown and not result.startswith("refused")})]

    async def _step(self, item: OutboxItem, party: str) -> str:
        if item.close is not None:
            return await close(self._parts, self._changer.change, item.close, party)
        if item.attend is not None:
            return await attend(self._parts, self._changer.change, item.attend, party)
        if item.amend is not None:
            return await amend(self._parts, item.amend)
        raise AssertionError("an item without a step")

    async def _file(self, entries: Sequence[EntryDocument]) -> Sequence[EntryDocument]:
        """File, and apply what waited for them; as stored."""
        if not entries:
            return ()
        stored = await self._parts.timeline.file(entries)
        await failpoint("router.outbox.after_file")
        targets = {name: e.message_id for e in stored.values() for name in (e.message_id, *e.names)}
        await self._amending.apply_waiting(targets)
        return tuple(stored.values())

    async def _publish(self, stored: Sequence[EntryDocument]) -> None:
        """Publish what is stored; after the copies of strands, so that who hears of a conversation can answer in it."""
        if not stored:
            return
        await failpoint("router.outbox.before_publish")
        records: list[Record] = [timeline_record(entry_changed(e)) for e in stored]
        records += [outbound_record(e.outbound) for e in stored if e.outbound is not None]
        await self._parts.bus.publish(records)

    async def _copy(self, strands: Sequence[Strand]) -> None:
        """Write the copies; of several versions only the highest."""
        newest: dict[str, Strand] = {}
        for strand in strands:
            known = newest.get(strand.strand_id)
            if known is None or known.version < strand.version:
                newest[strand.strand_id] = strand
        if newest:
            await self._parts.timeline.write_strands(list(newest.values()))

    async def _pull(self, tasks: Sequence[Task]) -> None:
        for collection in ("contacts", "edges"):
            items = [(t.owner, t.item.number) for t in tasks if t.collection == collection]
            if items:
                await self._parts.timeline.pull("contacts" if collection == "contacts" else "edges", items)
