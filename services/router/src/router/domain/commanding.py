"""What a command does to the contact that decides about it, and the one entry it leaves.

Pure: drafts change, `Refused` says why not. Not here: links (`edges`), and steps that reach into other documents (`router.closing`).
"""

from collections.abc import Iterable, Mapping, Sequence

from threadline_events.commands import AddNote, AnyCommand, Assign, ConfirmMessage, Reopen, Resolve, RetryMessage, SendReply, Snooze
from threadline_events.ids import command_entry_id
from threadline_events.inbound import Attachment, Author, Part, Relations
from threadline_events.states import DeliveryRank

from router.domain.decide import Draft
from router.domain.documents import Amend, Attempt, Attend, Close, ClosePart, EntryDocument, IntakeRef, Mark, Strand, Why
from router.domain.edges import DONE
from router.domain.policy import Policies
from router.domain.routing import Refused, leaving_account, names_of, next_attempt, outbound_message
from router.domain.strands import conversation_of, decode_as_of, root, snooze_holds
from router.domain.tokens import MailSigner

__all__ = ["KINDS", "command_entry", "decide_attend", "decide_note", "decide_reopen", "decide_reply", "decide_resend", "decide_resolve"]

KINDS = {
    "SendReply": "message",
    "AddNote": "note",
    "Resolve": "resolve",
    "Reopen": "reopen",
    "Snooze": "snooze",
    "Assign": "assign",
    "LinkIdentity": "link",
    "UnlinkIdentity": "unlink",
    "RetryMessage": "retry",
    "ConfirmMessage": "confirm",
}


def command_entry(
    command: AnyCommand,
    *,
    party: str,
    party_identity: str,
    strand_id: str | None,
    result: str,
    why: tuple[Why, ...] = (),
    text: str | None = None,
    attachments: Sequence[Attachment] = (),
) -> EntryDocument:
    """The entry that a command leaves; refusals are kept and not shown."""
    made = IntakeRef(intake_id=command.intake_id, index=command.intake_index or 0) if command.intake_id else None
    return EntryDocument(
        message_id=command_entry_id(command.command_id),
        brand=command.brand,
        party=party,
        party_identity=party_identity,
        strand_id=strand_id,
        direction="internal",
        kind=KINDS[command.command],
        shown=not result.startswith("refused"),
        channel="threadline",
        account_id=None,
        author=Author(
            identity=command.actor.identity, display_name=command.actor.display_name, role="agent", evidence=command.actor.evidence
        ),
        occurred_at=command.issued_at,
        received_at=command.issued_at,
        order=command.command_id,
        text=text,
        reply_text=text,
        attachments=tuple(attachments),
        made=made,
        intakes=(made,) if made else (),
        command_id=command.command_id,
        fingerprint=command.fingerprint,
        result=result,
        origin=command.desk_id or command.actor.identity,
        why=why,
    )


def _in(draft: Draft, command: AnyCommand, strand_id: str | None, result: str, **more: object) -> EntryDocument:
    contact = draft.contact
    return command_entry(
        command,
        party=contact.contact_id,
        party_identity=contact.identity,
        strand_id=strand_id,
        result=result,
        **more,  # type: ignore[arg-type]
    )


def refuse(draft: Draft, command: AnyCommand, strand_id: str | None, reason: str) -> None:
    """Leave only the refusal."""
    draft.entries.append(_in(draft, command, strand_id, f"refused:{reason}", why=(Why(rule="refused", saw=reason, decided=True),)))


def _touch(draft: Draft, strand_id: str, command: AnyCommand) -> None:
    """Activity of a strand that the contact still holds."""
    held = draft.held(strand_id)
    if held is not None:
        draft.keep(held.model_copy(update={"last_activity_at": max(held.last_activity_at, command.issued_at)}))


def decide_note(draft: Draft, command: AddNote, strand_id: str, attachments: Sequence[Attachment]) -> None:
    """File an internal note."""
    _touch(draft, strand_id, command)
    draft.entries.append(_in(draft, command, strand_id, DONE, text=command.text, attachments=attachments))


def decide_reply(
    draft: Draft,
    command: SendReply,
    strand_id: str,
    answered: EntryDocument,
    attachments: Sequence[Attachment],
    policies: Policies,
    signer: MailSigner,
) -> None:
    """Queue a reply, addressed for good. It is filed where the answered message is, and makes nothing active."""
    if answered.reply_window_ends_at is not None and answered.reply_window_ends_at <= command.issued_at:
        raise Refused("closed_window")
    account = leaving_account(answered, command.account_id, policies)
    outbound = outbound_message(
        message_id=command_entry_id(command.command_id),
        answered=answered,
        account=account,
        strand_id=answered.strand_id or strand_id,
        text=command.text,
        html=command.html,
        attachments=attachments,
        signer=signer,
        at=command.issued_at,
    )
    queued = Attempt(number=1, rank=DeliveryRank.QUEUED, command_id=command.command_id, queued_at=command.issued_at)
    why = Why(rule="answers", saw=f"{answered.message_id} from {account.account_id}", decided=True)
    entry = _in(draft, command, outbound.conversation_id, DONE, why=(why,), text=command.text, attachments=attachments)
    parts = (Part(type="text", text=command.text), *((Part(type="html", html=command.html),) if command.html else ()))
    changed = {
        "party": answered.party,
        "party_identity": answered.party_identity,
        "direction": "outbound",
        "channel": answered.channel,
        "account_id": account.account_id,
        "accounts": (account.account_id,),
        "subject": outbound.subject,
        "parts": parts,
        "external_id": outbound.mail.message_id if outbound.mail else None,
        "native_thread": answered.native_thread,
        "names": names_of(outbound),
        "relates_to": Relations(reply_to=answered.message_id),
        "attempts": (queued,),
        "outbound": outbound,
        "answers": answered.message_id,
    }
    _touch(draft, strand_id, command)
    draft.entries.append(entry.model_copy(update=changed))


def decide_reopen(draft: Draft, command: Reopen, strand: Strand, strands: Mapping[str, Strand]) -> None:
    """Open the strand again, unless its contact has an active one; a snoozed conversation is woken."""
    own = root(strands, strand.strand_id) if strand.strand_id in strands else strand.strand_id
    case = conversation_of(strands, own) if own in strands else {}
    if any(s.status == "open" for s in case.values()) and snooze_holds(strands[own], case.values(), command.issued_at):
        mark = Mark(at=command.issued_at, command_id=command.command_id)
        draft.attend = Attend(conversation_id=strand.strand_id, mark=mark, what="wake")
    elif strand.status == "open":
        raise Refused("not_resolved")
    elif draft.contact.active is not None:
        raise Refused("another_is_active")
    else:
        reopened = {"status": "open", "resolved_at": None, "inbound_seq": strand.inbound_seq + 1, "last_activity_at": command.issued_at}
        draft.keep(strand.model_copy(update=reopened))
        draft.align = True
    draft.entries.append(_in(draft, command, strand.strand_id, DONE))


def _as_read(command: Resolve | Snooze, strands: Iterable[Strand]) -> dict[str, int]:
    """How far each strand was read: as the command says, else all that there is now."""
    try:
        return decode_as_of(command.as_of) if command.as_of is not None else {s.strand_id: s.inbound_seq for s in strands}
    except ValueError as error:
        raise Refused("as_of_unreadable") from error


def decide_resolve(draft: Draft, command: Resolve, strand_id: str, strands: Mapping[str, Strand]) -> None:
    """Refuse at once what the agent cannot have read; else leave the closing to the outbox."""
    own = root(strands, strand_id) if strand_id in strands else strand_id
    todo = [s for s in conversation_of(strands, own).values() if s.status == "open"] if own in strands else []
    if not todo:
        raise Refused("not_open")
    read = _as_read(command, todo)
    if any(s.inbound_seq > read.get(s.strand_id, -1) for s in todo):
        raise Refused("newer_message")
    parts = tuple(ClosePart(strand_id=s.strand_id, owner=s.owner, as_of=read[s.strand_id]) for s in todo)
    draft.close = Close(conversation_id=strand_id, parts=parts, at=command.issued_at)
    draft.entries.append(_in(draft, command, strand_id, DONE))


def decide_attend(draft: Draft, command: Assign | Snooze, strand_id: str, strands: Mapping[str, Strand]) -> None:
    """Leave it to the outbox, which sets it in the conversation's own strand. A snooze hides what was read, not what comes meanwhile."""
    mark = Mark(at=command.issued_at, command_id=command.command_id)
    if isinstance(command, Assign):
        draft.attend = Attend(conversation_id=strand_id, mark=mark, what="assign", assignee=command.assignee)
    else:
        case = conversation_of(strands, root(strands, strand_id)) if strand_id in strands else {}
        read = _as_read(command, case.values())
        draft.attend = Attend(conversation_id=strand_id, mark=mark, what="snooze", snoozed_until=command.until, read=read)
    text = command.assignee if isinstance(command, Assign) else None
    draft.entries.append(_in(draft, command, strand_id, DONE, text=text))


def decide_resend(
    draft: Draft, command: RetryMessage | ConfirmMessage, entry: EntryDocument, policies: Policies, signer: MailSigner
) -> None:
    """Leave it to the outbox, which looks at the state once more."""
    if entry.outbound is None or not entry.attempts:
        raise Refused("not_sent_by_us")
    last = entry.attempts[-1].number
    what, outbound, names = "confirm", None, tuple[str, ...]()
    if isinstance(command, RetryMessage):
        outbound = next_attempt(entry.outbound, last + 1, policies, signer, command.issued_at)
        what, names = "retry", names_of(outbound)
    draft.amend = Amend(
        message_id=entry.message_id,
        attempt=last,
        what="retry" if what == "retry" else "confirm",
        command_id=command.command_id,
        outbound=outbound,
        names=names,
    )
    draft.entries.append(_in(draft, command, entry.strand_id, DONE))
