"""Commands: the API and the consumer run the same decision, by the same compare-and-set; a replay finds the entry and does nothing.

Which contact decides follows from the command alone, so that two processes cannot decide it in two places: the owner of the
conversation's strand, or the party of the message named. Not here: HTTP, and what a command means (`domain.commanding`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from threadline_events.commands import (
    AddNote,
    AnyCommand,
    Assign,
    ConfirmMessage,
    LinkIdentity,
    Reopen,
    Resolve,
    RetryMessage,
    SendReply,
    Snooze,
    UnlinkIdentity,
    parse_command,
)
from threadline_events.ids import command_entry_id
from threadline_events.inbound import Attachment
from threadline_events.keys import desk_key
from threadline_events.records import command_record
from threadline_runtime.bus.port import Message as BusMessage
from threadline_runtime.errors import PermanentError
from threadline_runtime.failpoints import failpoint

from router.changing import current_strand
from router.domain.commanding import (
    decide_attend,
    decide_note,
    decide_reopen,
    decide_reply,
    decide_resend,
    decide_resolve,
    refuse,
)
from router.domain.decide import Draft
from router.domain.documents import EntryDocument, IntakeRef, Strand
from router.domain.routing import Refused
from router.domain.strands import conversation_of, root
from router.linking import Linking
from router.outbox import Outbox, Task
from router.parts import Parts, rounds
from router.people import cases, persons
from router.recording import record
from router.store.port import ContactChange, Outcome, Owed, Stored, Waiting

__all__ = ["CommandConflictError", "Commands", "UnknownTargetError"]


class CommandConflictError(PermanentError):
    """The same command id came with another body."""


class UnknownTargetError(PermanentError):
    """The command names a conversation or message that is not there (or is another brand's)."""


_REASONS: Mapping[type[PermanentError], str] = {CommandConflictError: "conflict", UnknownTargetError: "unknown_target"}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a command is decided, and what it names."""

    owner: str
    strand_id: str | None
    message: EntryDocument | None = None


class Commands:
    """Decides commands."""

    def __init__(self, parts: Parts, outbox: Outbox, linking: Linking) -> None:
        self._parts = parts
        self._outbox = outbox
        self._linking = linking

    async def submit(self, command: AnyCommand) -> EntryDocument:
        """For the API: publish the command, then decide it here; the entry it left. Raises CommandConflictError and UnknownTargetError."""
        await self._check(command)
        await self._parts.bus.publish([command_record(command)])
        await failpoint("router.commands.after_publish")
        return await self.handle_command(command)

    async def handle(self, batch: Sequence[BusMessage[AnyCommand]]) -> None:
        """For the consumer: a batch from the bus, one after the other."""
        for message in batch:
            await self.take(message.body)
            await failpoint("router.commands.after_one")

    async def take(self, command: AnyCommand) -> None:
        """Decide a command; one under a desk's reference not known yet waits for it."""
        known = await self._with_conversation(command)
        if known is None:
            waiting = await self._wait(command)
            known = await self._with_conversation(command)
            if known is not None:
                await self._decide_waiting(waiting, known)
        else:
            await self.handle_command(known)

    async def posted(self, desk_id: str, reference: str, conversation_id: str) -> None:
        """A desk's reference is known from now on: keep it, then decide what waited for it."""
        await self._parts.desks.put_reference(desk_id, reference, conversation_id)
        await failpoint("router.commands.after_reference")
        for waiting in await self._parts.outcomes.waiting_for([desk_key(desk_id, reference)]):
            known = await self._with_conversation(parse_command(waiting.body))
            if known is not None:
                await self._decide_waiting(waiting, known)

    async def _decide_waiting(self, waiting: Waiting, command: AnyCommand) -> None:
        """Decide a command that waited; one that can never be is set aside, so that it holds up no other."""
        try:
            await self.handle_command(command)
        except PermanentError as error:
            if waiting.made is not None:
                reason, at = _REASONS.get(type(error), "cannot_be"), self._parts.clock()
                told = Outcome(waiting.made, waiting.event_id, waiting.account_id, waiting.channel, "ignored", reason, at)
                await record(self._parts, [told])
        await failpoint("router.commands.before_waits_no_more")
        await self._parts.outcomes.wait_no_more([waiting])

    async def handle_command(self, command: AnyCommand) -> EntryDocument:
        """Decide once, carry out; the entry it left, now or before. Raises CommandConflictError and UnknownTargetError."""
        before = await self._entry(command)
        if before is not None:
            self._same(before, command)
        if isinstance(command, LinkIdentity | UnlinkIdentity):
            await self._linking.handle(command)
        else:
            await self._decide(command)
        entry = await self._entry(command)
        if entry is None:
            raise UnknownTargetError("the command left no entry: send it again")
        return self._same(entry, command)

    # ---- where
    async def _with_conversation(self, command: AnyCommand) -> AnyCommand | None:
        """The command with its conversation; None where its desk's reference is not known yet."""
        if command.conversation_id is not None or command.desk_id is None or command.desk_reference is None:
            return command
        found = await self._parts.desks.reference(command.desk_id, command.desk_reference)
        return command.model_copy(update={"conversation_id": found}) if found else None

    async def _wait(self, command: AnyCommand) -> Waiting:
        made = IntakeRef(intake_id=command.intake_id, index=command.intake_index or 0) if command.intake_id else None
        at = self._parts.clock()
        desk = command.desk_id or ""
        target = desk_key(desk, command.desk_reference or "")
        waiting = Waiting(target, command.command_id, "command", command.to_json(), at, made, desk, "desk")
        await self._parts.outcomes.wait([waiting])
        await failpoint("router.commands.after_wait")
        if made is not None:
            await record(self._parts, [Outcome(made, command.command_id, desk, "desk", "waiting", None, at)])
        return waiting

    async def _check(self, command: AnyCommand) -> None:
        """What the API can say before anything is published."""
        before = await self._entry(command)
        if before is not None:
            self._same(before, command)
        elif not isinstance(command, LinkIdentity | UnlinkIdentity):
            await self._target(command)

    async def _entry(self, command: AnyCommand) -> EntryDocument | None:
        message_id = command_entry_id(command.command_id)
        return (await self._parts.timeline.entries([message_id])).get(message_id)

    @staticmethod
    def _same(entry: EntryDocument, command: AnyCommand) -> EntryDocument:
        if entry.fingerprint != command.fingerprint:
            raise CommandConflictError("the same command id came with another body: use a new Idempotency-Key")
        return entry

    async def _target(self, command: AnyCommand) -> _Target:
        if isinstance(command, RetryMessage | ConfirmMessage):
            entry = (await self._parts.timeline.entries([command.message_id])).get(command.message_id)
            if entry is None or entry.brand != command.brand:
                raise UnknownTargetError("no such message")
            return _Target(entry.party, entry.strand_id, entry)
        strand_id = command.conversation_id or ""
        strand = (await self._parts.timeline.strands([strand_id])).get(strand_id)
        if strand is None or strand.brand != command.brand:
            raise UnknownTargetError("no such conversation")
        return _Target(strand.owner, strand_id)

    # ---- deciding
    async def _decide(self, command: AnyCommand) -> None:
        target = await self._target(command)
        message_id = command_entry_id(command.command_id)
        for _ in rounds("deciding a command"):
            stored = (await self._parts.timeline.contacts([target.owner])).get(target.owner)
            if stored is None:
                raise UnknownTargetError("no such contact")
            await failpoint("router.commands.after_document")
            refs = await self._parts.timeline.refs([message_id])
            if any(e.message_id == message_id for item in stored.outbox for e in item.entries):
                # Decided before; a crash left some of its steps.
                await self._outbox.carry([Owed("contacts", target.owner)])
                return
            if message_id in refs:
                return
            draft = Draft(stored.contact, stored.contact.version)
            await self._draft(draft, command, target, stored)
            change = ContactChange(stored.contact.version, draft.document(), draft.item(self._parts.clock()))
            await failpoint("router.commands.before_compare_and_set")
            if await self._parts.timeline.commit_contacts([change]):
                await failpoint("router.commands.after_compare_and_set")
                owner = target.owner
                await self._outbox.perform([Task("contacts", owner, item) for item in (*stored.outbox, change.item)])
                return

    async def _draft(self, draft: Draft, command: AnyCommand, target: _Target, stored: Stored) -> None:
        try:
            await self._effects(draft, command, target, stored)
        except Refused as refused:
            refuse(draft, command, target.strand_id, str(refused))

    async def _effects(self, draft: Draft, command: AnyCommand, target: _Target, stored: Stored) -> None:
        parts = self._parts
        if isinstance(command, RetryMessage | ConfirmMessage):
            if target.message is None:
                raise Refused("not_found")
            decide_resend(draft, command, target.message, parts.policies, parts.signer)
            return
        strand_id = target.strand_id or ""
        if isinstance(command, AddNote):
            decide_note(draft, command, strand_id, await self._attachments(command.brand, command.attachments))
        elif isinstance(command, Assign | Snooze):
            decide_attend(draft, command, strand_id, await self._case(target.owner, strand_id))
        elif isinstance(command, SendReply):
            answered = await self._answered(command, target.owner, strand_id)
            files = await self._attachments(command.brand, command.attachments)
            decide_reply(draft, command, strand_id, answered, files, parts.policies, parts.signer)
        elif isinstance(command, Resolve):
            decide_resolve(draft, command, strand_id, await self._case(target.owner, strand_id))
        elif isinstance(command, Reopen):
            copy = (await parts.timeline.strands([strand_id])).get(strand_id)
            strand = current_strand(stored, copy, strand_id)
            if strand is None:
                raise Refused("not_found")
            decide_reopen(draft, command, strand, await self._case(target.owner, strand_id))

    async def _case(self, owner: str, strand_id: str) -> Mapping[str, Strand]:
        return (await cases(self._parts.timeline, {strand_id: owner}))[strand_id]

    async def _person(self, owner: str) -> frozenset[str]:
        return (await persons(self._parts.timeline, [owner]))[owner]

    async def _attachments(self, brand: str, sha256s: Sequence[str]) -> tuple[Attachment, ...]:
        if not sha256s:
            return ()
        found = await self._parts.uploads(brand, sha256s)
        if any(sha256 not in found for sha256 in sha256s):
            raise Refused("unknown_attachment")
        return tuple(found[sha256] for sha256 in sha256s)

    async def _answered(self, command: SendReply, owner: str, strand_id: str) -> EntryDocument:
        """The message named, else the latest that the customer wrote and that can be answered; who only takes part is answered by name."""
        strands = await self._case(owner, strand_id)
        own = root(strands, strand_id) if strand_id in strands else strand_id
        case = conversation_of(strands, own) if own in strands else {}
        if command.in_reply_to is not None:
            entry = (await self._parts.timeline.entries([command.in_reply_to])).get(command.in_reply_to)
            if entry is None or entry.brand != command.brand:
                raise Refused("unknown_message")
            if entry.strand_id not in case and entry.party not in await self._person(owner):
                raise Refused("not_in_conversation")
            if entry.direction != "inbound" or entry.reply_address is None:
                raise Refused("not_answerable")
            return entry
        found = await self._parts.timeline.latest_answerable(case or [strand_id], command.issued_at, 1)
        if not found:
            raise Refused("nothing_to_answer")
        return found[0]
