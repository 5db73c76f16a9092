"""From an inbound event to the entry it becomes, before anybody decided where it goes.

Hot path: the event was validated when it was decoded, so nothing is validated again. Not here: strand, sequence, state (`decide`).
"""

from dataclasses import dataclass

from threadline_events.evidence import Evidence
from threadline_events.ids import contact_id
from threadline_events.inbound import Author, InboundEvent
from threadline_events.keys import target_key

from router.domain.documents import EntryDocument, IntakeRef, Why
from router.domain.loops import body_digest
from router.domain.policy import Policies

__all__ = ["Message", "author_of", "entry_of", "intake_of", "message_of"]


_FILES = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A received message on its way to a decision: whose contact decides, and why."""

    event: InboundEvent
    party: str
    party_identity: str
    mentions: tuple[str, ...]
    why: tuple[Why, ...]
    size: int

    @property
    def message_id(self) -> str:
        """The id of the entry it becomes."""
        return self.event.message_id

    @property
    def automatic(self) -> bool:
        """Automatic mail and bounces neither open nor reopen."""
        return self.event.hints.is_auto_reply or self.event.hints.bounce is not None

    @property
    def body(self) -> str:
        """What the rate breaker compares."""
        event = self.event
        files = [a.sha256 or a.file_name or "" for a in event.attachments[:_FILES]]
        return body_digest(event.reply_text or event.text or event.subject or "", files)


def author_of(event: InboundEvent, policies: Policies) -> Author:
    """Who wrote. On an account where a website's form mails to, that is whom Reply-To names, and only claimed."""
    account = policies.account(event.account_id)
    if account is not None and account.form:
        customer = next((p for p in event.participants if p.role == "reply_to"), None)
        if customer is not None and customer.identity != event.author.identity:
            return Author(identity=customer.identity, display_name=customer.display_name, evidence=Evidence.CLAIMED)
    return event.author


_BY_AUTHOR = (Why(rule="author", decided=True),)


def message_of(event: InboundEvent, *, size: int) -> Message:
    """A message of a channel where only the author can be its party."""
    identity = event.author.identity
    return Message(event, contact_id(event.brand, identity), identity, (), _BY_AUTHOR, size)


def intake_of(event: InboundEvent) -> IntakeRef | None:
    """Which event of which intake it is; None for what nobody took in."""
    return IntakeRef.of_valid(intake_id=event.intake_id, index=event.intake_index) if event.intake_id else None


def entry_of(message: Message, *, strand_id: str | None, inbound_seq: int | None, why: tuple[Why, ...]) -> EntryDocument:
    """The entry as it is decided."""
    event = message.event
    made = intake_of(event)
    identity = event.author.identity
    names = (target_key(event.channel, event.account_id, event.brand, event.external_id),) if event.external_id else ()
    return EntryDocument.of_valid(
        message_id=event.message_id,
        brand=event.brand,
        party=message.party,
        party_identity=message.party_identity,
        strand_id=strand_id,
        inbound_seq=inbound_seq,
        version=1,
        direction="inbound",
        channel=event.channel,
        account_id=event.account_id,
        accounts=(event.account_id,),
        author=event.author,
        author_contact=message.party if identity == message.party_identity else contact_id(event.brand, identity),
        participants=event.participants,
        external_id=event.external_id,
        native_thread=event.native_thread,
        names=names,
        mentions=message.mentions,
        occurred_at=event.occurred_at,
        received_at=event.received_at or event.occurred_at,
        order=event.order,
        subject=event.subject,
        text=event.text,
        reply_text=event.reply_text,
        quoted_text=event.quoted_text,
        language=event.language,
        parts=event.parts,
        attachments=event.attachments,
        relates_to=event.relates_to,
        hints=event.hints,
        reply_address=event.reply_address,
        reply_window_ends_at=event.reply_window_ends_at,
        raw=event.raw,
        channel_data=event.channel_data,
        cut=event.cut,
        made=made,
        intakes=(made,) if made else (),
        why=(*message.why, *why),
    )
