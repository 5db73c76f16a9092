"""The ports of the router's stores, domain-shaped and in batches; MongoDB must be able to keep them.

Every write is atomic on one document only. Batches are unordered; nothing may rely on two documents changing together.
Not here: rules. An adapter compares and stores, it decides nothing. All methods raise TransientError when the store cannot answer.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from threadline_events.timeline import Conversation

from router.domain.documents import Claim, Contact, Edge, EntryDocument, EntryRef, IntakeRef, OutboxItem, Strand, Suggestion

__all__ = [
    "ContactChange",
    "ConversationQuery",
    "DeskStore",
    "EdgeChange",
    "EntryPage",
    "EntryRef",
    "JournalRow",
    "JournalStore",
    "Outcome",
    "OutcomeName",
    "OutcomeStore",
    "Owed",
    "SentCounts",
    "Stored",
    "StoredEdge",
    "SummaryHead",
    "TimelineStore",
    "Waiting",
]

OutcomeName = Literal["stored", "applied", "waiting", "duplicate", "ignored", "rejected", "dead-lettered", "discarded"]
Collection = Literal["contacts", "edges"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A contact's document with the decisions it still owes, oldest first."""

    contact: Contact
    outbox: tuple[OutboxItem, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredEdge:
    """An edge with the decisions it still owes, oldest first."""

    edge: Edge
    outbox: tuple[OutboxItem, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactChange:
    """A compare-and-set: stored where the document's version is still `expected` (0: where there is none); `item` joins the outbox."""

    expected: int
    contact: Contact
    item: OutboxItem


@dataclass(frozen=True, slots=True)
class EdgeChange:
    """The same for an edge."""

    expected: int
    edge: Edge
    item: OutboxItem


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits under its target's key. `body` is the event's or command's own JSON."""

    target: str
    event_id: str
    kind: Literal["event", "delivery", "command"]
    body: bytes
    since: datetime
    made: IntakeRef | None = None
    account_id: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event of an intake."""

    intake: IntakeRef
    event_id: str
    account_id: str
    channel: str
    outcome: OutcomeName
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ConversationQuery:
    """A list of conversations, newest activity first. `brands` and `ids` None: any; `after`: (last activity, id) of the last one seen."""

    brands: frozenset[str] | None = None
    status: str | None = None
    channel: str | None = None
    ids: frozenset[str] | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of a timeline in (`occurred_at`, `order`, `message_id`) order. Exactly one of `strands` and `parties` is given."""

    strands: frozenset[str] | None = None
    parties: frozenset[str] | None = None
    after: tuple[datetime, str, str] | None = None
    descending: bool = False
    limit: int = 50


@dataclass(frozen=True, slots=True)
class SummaryHead:
    """Of a summary what the next one goes by: its version, and whose strand it is of (None: written before that was kept with it)."""

    version: int
    contact_id: str | None


@dataclass(frozen=True, slots=True)
class Owed:
    """A document whose outbox holds something older than was asked for."""

    collection: Collection
    owner: str


@dataclass(frozen=True, slots=True)
class SentCounts:
    """What an account sent, by where it stands: accepted = sent + failed + uncertain + in_flight."""

    accepted: int = 0
    sent: int = 0
    failed: int = 0
    uncertain: int = 0
    in_flight: int = 0


class TimelineStore(Protocol):
    """Contacts, edges, strands, summaries and entries."""

    # ---- the documents that decide
    async def contacts(self, contact_ids: Iterable[str]) -> Mapping[str, Stored]:
        """Those that there are, with their outboxes."""
        ...

    async def commit_contacts(self, changes: Sequence[ContactChange]) -> frozenset[str]:
        """Compare-and-set each on its version; the contact ids of those that were stored."""
        ...

    async def edges(self, link_ids: Iterable[str]) -> Mapping[str, StoredEdge]:
        """Those that there are, with their outboxes."""
        ...

    async def edges_of(self, contact_ids: Iterable[str]) -> Sequence[Edge]:
        """Every edge, active or not, with an end among the contacts. Outboxes are not read."""
        ...

    async def commit_edge(self, change: EdgeChange) -> bool:
        """Compare-and-set on the version; whether it was stored."""
        ...

    async def pull(self, collection: Collection, items: Sequence[tuple[str, int]]) -> None:
        """Take items (owner, number) out of outboxes; versions stay as they are."""
        ...

    async def owing(self, before: datetime, limit: int) -> Sequence[Owed]:
        """Documents that still owe an item put in before a time."""
        ...

    # ---- copies of strands
    async def strands(self, strand_ids: Iterable[str]) -> Mapping[str, Strand]:
        """The copies that there are."""
        ...

    async def strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """The copies of all strands of these contacts."""
        ...

    async def open_strands_of(self, owners: Iterable[str]) -> Sequence[Strand]:
        """Of these the open ones."""
        ...

    async def strands_joined_to(self, strand_ids: Iterable[str]) -> Sequence[Strand]:
        """The copies of these strands, and of those whose `joins` names one of them."""
        ...

    async def write_strands(self, strands: Sequence[Strand]) -> None:
        """Write copies; where one of a higher or equal version lies there already, it stays."""
        ...

    # ---- summaries
    async def summaries(self, strand_ids: Iterable[str]) -> Mapping[str, Conversation]:
        """The summaries that there are, joined ones too."""
        ...

    async def summary_heads(self, strand_ids: Iterable[str]) -> Mapping[str, SummaryHead]:
        """The heads of these; reads no more of them."""
        ...

    async def write_summaries(self, summaries: Sequence[Conversation]) -> frozenset[str]:
        """Write each where the stored version is one below (1: where there is none); the ids of those written."""
        ...

    async def conversations(self, query: ConversationQuery) -> Sequence[Conversation]:
        """A page of the list; joined ones are skipped."""
        ...

    async def snoozed_until(self, until: datetime, limit: int) -> Sequence[str]:
        """Ids of summaries that say snoozed and whose time is not after `until`."""
        ...

    async def all_strand_ids(self) -> AsyncIterator[Sequence[str]]:
        """Every strand's id, in pages (for deriving all again)."""
        ...
        yield ()

    # ---- entries
    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, EntryRef]:
        """Insert each where nothing has its id; what stands now under each id."""
        ...

    async def named(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """Entries and claims by a name they bear (`keys.target_key`), oldest first; a few of each name."""
        ...

    async def mentioning(self, names: Iterable[str]) -> Mapping[str, Sequence[EntryRef]]:
        """Entries and claims that mention a name; a few of each, however many there are."""
        ...

    async def refs(self, message_ids: Iterable[str]) -> Mapping[str, EntryRef]:
        """Entries and claims by id, without their content."""
        ...

    async def filed(self, message_ids: Iterable[str]) -> frozenset[str]:
        """Of these ids those of filed entries."""
        ...

    async def entries(self, message_ids: Iterable[str]) -> Mapping[str, EntryDocument]:
        """Filed entries by id, with their content. Claims count as absent."""
        ...

    async def file(self, entries: Sequence[EntryDocument]) -> Mapping[str, EntryDocument]:
        """File each that is not filed yet (over its claim, raising the version); what is stored now under each id."""
        ...

    async def update_entries(self, entries: Sequence[EntryDocument]) -> frozenset[str]:
        """Replace each where the stored version is one below its own; the ids of those replaced. New names count at once."""
        ...

    async def entry_page(self, page: EntryPage) -> Sequence[EntryDocument]:
        """A page of shown entries."""
        ...

    async def latest_answerable(self, strand_ids: Iterable[str], at: datetime, limit: int) -> Sequence[EntryDocument]:
        """The newest entries of the strands that can be answered by default: written by the strand's own contact (the author is the party),
        with a reply address and an open window, by `received_at`, newest first. What others wrote is answered only where it is named.
        """
        ...

    async def search(self, words: str, brands: frozenset[str] | None, limit: int) -> Sequence[str]:
        """Ids of strands with an entry whose subject, text or author holds the words, newest first, bounded."""
        ...

    async def attachment_readers(self, sha256: str) -> frozenset[str]:
        """Brands with a shown entry that names the attachment, itself or in an edit."""
        ...

    async def sent_counts(self, since: datetime, account_id: str | None) -> Mapping[str, SentCounts]:
        """What each account sent since a time, by where it stands now."""
        ...

    # ---- suggestions
    async def suggest(self, suggestion: Suggestion) -> None:
        """Keep it unless one of its id is there."""
        ...

    async def suggestions(self, brands: frozenset[str] | None, after: str | None, limit: int) -> Sequence[Suggestion]:
        """A page, by link id."""
        ...

    async def drop_suggestion(self, link_id: str) -> None:
        """Take it away (it was accepted)."""
        ...


class OutcomeStore(Protocol):
    """Outcomes, and what waits for its target."""

    async def outcomes(self, intakes: Iterable[IntakeRef]) -> Mapping[IntakeRef, Outcome]:
        """Those recorded."""
        ...

    async def outcomes_by_event(self, event_ids: Iterable[str]) -> Mapping[str, Sequence[Outcome]]:
        """Those recorded, by event."""
        ...

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record each; the first stands, except that waiting gives way to applied, duplicate and ignored, and dead-lettered to any."""
        ...

    async def wait(self, waiting: Sequence[Waiting]) -> None:
        """Keep each under its target; the same event of the same intake once."""
        ...

    async def waiting_for(self, targets: Iterable[str]) -> Sequence[Waiting]:
        """What waits for any of the targets, oldest first."""
        ...

    async def wait_no_more(self, waiting: Sequence[Waiting]) -> None:
        """Take them away."""
        ...

    async def waiting_since(self, before: datetime, limit: int) -> Sequence[Waiting]:
        """What has waited since before a time."""
        ...


class DeskStore(Protocol):
    """Which conversation a desk's reference means."""

    async def put_reference(self, desk_id: str, reference: str, conversation_id: str) -> None:
        """The first stands."""
        ...

    async def reference(self, desk_id: str, reference: str) -> str | None:
        """The conversation, None where it is not known yet."""
        ...


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A journalled intake. `raw` is inline up to 64 KiB; else `blob` names it."""

    intake_id: str
    account_id: str
    channel: str
    brand: str
    received_at: datetime
    event_count: int
    origin: str
    media_type: str
    raw: bytes | None
    blob: str | None
    size: int
    outcome: str | None = None
    reason: str | None = None
    event_outcomes: Mapping[int, str] = field(default_factory=dict)


class JournalStore(Protocol):
    """Intakes taken in, and the joins that the audit reads."""

    async def add(self, rows: Sequence[JournalRow]) -> None:
        """Keep each; the first of an id stands."""
        ...

    async def intake(self, intake_id: str) -> JournalRow | None:
        """One intake with its payload or the blob that holds it."""
        ...

    def audited(self, since: datetime, before: datetime, account_id: str | None) -> AsyncIterator[Sequence[JournalRow]]:
        """Pages of intakes received between two times, without payloads, each with the outcomes of its events by index."""
        ...

    def unjournalled(self, since: datetime, before: datetime, account_id: str | None) -> AsyncIterator[Mapping[str, int]]:
        """Counts by account of stored entries and outcomes between two times none of whose intakes is in the journal: they add up."""
        ...
