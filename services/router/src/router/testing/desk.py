"""A router over `:memory:` stores with a bus that keeps what was published; for tests that tell a story.

Not here: the scheduler (`stepping`), servers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from threadline_events import ids, topics
from threadline_events.evidence import Evidence
from threadline_events.inbound import Attachment, Author, Connector, Hints, InboundEvent, Part, Participant, Relations
from threadline_events.outbound import OutboundMessage
from threadline_events.records import Record
from threadline_events.timeline import Conversation, Entry

from router.amending import Amending
from router.commands import Commands
from router.domain.documents import EntryDocument
from router.domain.policy import Account, BrandPolicy, Policies
from router.domain.strands import root
from router.domain.tokens import MailSigner
from router.domain.views import entry_view
from router.linking import Linking
from router.outbox import Outbox
from router.parts import Parts
from router.people import readings
from router.pipeline import Pipeline
from router.store.port import EntryPage
from router.store.sqlite import SqliteTimeline
from router.stores import Timeline
from router.sweeper import Sweeper
from router.testing.stand_ins import CountNothing, HmacSigner
from router.testing.stepping import InlineDatabase

__all__ = ["START", "Desk", "mail"]

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
ACCOUNTS = (
    Account("support-mail", "email", "acme", "support@acme.test", "Acme Support"),
    Account("sales-mail", "email", "acme", "sales@acme.test"),
    Account("form-mail", "email", "acme", "form@acme.test", form=True),
    Account("other-mail", "email", "other", "help@other.test"),
)


def mail(
    name: str,
    author: str = "ann@client.test",
    *,
    minute: int = 0,
    brand: str = "acme",
    account: str = "support-mail",
    to: str = "support@acme.test",
    cc: str | None = None,
    answers: str | None = None,
    references: Sequence[str] = (),
    evidence: Evidence = Evidence.CLAIMED,
    intake: str | None = None,
    text: str | None = None,
    reply_to: str | None = None,
    **hints: object,
) -> InboundEvent:
    """A mail; `name` gives its Message-ID, `answers` is another's."""
    at = START + timedelta(minutes=minute)
    external = f"{name}@client.test"
    said = text or f"This is {name}."
    people = [Participant(identity=f"email:{to}", role="to")]
    people += [Participant(identity=f"email:{cc}", role="cc")] if cc else []
    people += [Participant(identity=f"email:{reply_to}", role="reply_to")] if reply_to else []
    chain = (*references, *((answers,) if answers else ()))
    return InboundEvent(
        event_id=ids.event_id("email", account, external, "message.received"),
        message_id=ids.mail_message_id(brand, external, said.encode()),
        intake_id=intake or f"i_{name}",
        kind="message.received",
        channel="email",
        account_id=account,
        brand=brand,
        external_id=external,
        native_thread=(*chain, external)[0],
        author=Author(identity=f"email:{author}", display_name=author.partition("@")[0].title(), evidence=evidence),
        participants=tuple(people),
        occurred_at=at,
        received_at=at,
        order=f"{minute:010}",
        subject="Where is my order?",
        text=said,
        reply_text=said,
        parts=(Part(type="text", text=said),),
        relates_to=Relations(reply_to=answers),
        hints=Hints.model_validate({"references": chain, "reply_to_differs": reply_to is not None, **hints}),
        reply_address={"address": reply_to or author, "display_name": None},
        connector=Connector(name="email", version="1"),
    )


@dataclass
class Desk:
    """What an agent sees, and the workers behind it. `now` may be moved."""

    reopen_within: timedelta = timedelta(days=14)
    now: datetime = START + timedelta(hours=1)
    published: list[Record] = field(default_factory=list)
    uploads: dict[str, Attachment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the workers together over a store in memory."""
        self.database = InlineDatabase()
        self.put_together(SqliteTimeline(self.database))

    def put_together(self, store: Timeline) -> None:
        """Put the workers together over this store."""
        self.store = store
        brands = {b: BrandPolicy(b, b.title(), self.reopen_within) for b in ("acme", "other")}
        policies = Policies(brands, {a.account_id: a for a in ACCOUNTS})
        self.signer = MailSigner(HmacSigner(), policies.mail_accounts())
        self.accounts = policies.accounts
        self.parts = Parts(self.store, self.store, self.store, self._find, self, lambda: self.now, policies, self.signer, CountNothing())
        self.amending = Amending(self.parts)
        self.outbox = Outbox(self.parts, self.amending)
        self.linking = Linking(self.parts, self.outbox)
        self.pipeline = Pipeline(self.parts, self.outbox, self.amending, self.linking)
        self.commands = Commands(self.parts, self.outbox, self.linking)
        self.sweeper = Sweeper(self.parts, self.outbox)

    async def publish(self, records: Sequence[Record], *, then: Sequence[Record] = ()) -> None:
        """Keep what was published."""
        self.published += [*records, *then]

    async def _find(self, brand: str, sha256s: Iterable[str]) -> Mapping[str, Attachment]:
        return {s: self.uploads[s] for s in sha256s if s in self.uploads}

    async def take(self, *events: InboundEvent) -> None:
        """One batch."""
        await self.pipeline.take([(e, 1000) for e in events])

    async def entry(self, event: InboundEvent) -> EntryDocument:
        """The entry of a message."""
        return (await self.store.entries([event.message_id]))[event.message_id]

    async def conversation_of(self, event: InboundEvent) -> Conversation:
        """The summary that a message's strand leads to."""
        strand_id = (await self.entry(event)).strand_id or ""
        found = (await self.store.summaries([strand_id]))[strand_id]
        while found.joined is not None:
            found = (await self.store.summaries([found.joined]))[found.joined]
        return found

    async def timeline(self, conversation_id: str) -> list[Entry]:
        """A conversation's timeline as the API reads it."""
        strand = (await self.store.strands([conversation_id]))[conversation_id]
        strands = (await readings(self.store, [strand.owner]))[strand.owner]
        mine = frozenset(i for i in strands if root(strands, i) == conversation_id)
        page = await self.store.entry_page(EntryPage(strands=mine, limit=100))
        return [entry_view(e, conversation_id) for e in page]

    def sent(self) -> list[OutboundMessage]:
        """What was handed to the senders."""
        return [OutboundMessage.model_validate_json(r.value) for r in self.published if r.topic == topics.OUTBOUND]

    async def outcome(self, event: InboundEvent) -> tuple[str, str | None] | None:
        """The recorded outcome of an event; None where it is its entry."""
        recorded = (await self.store.outcomes_by_event([event.event_id])).get(event.event_id, ())
        found = [o for o in recorded if o.intake.intake_id == event.intake_id]
        return (found[0].outcome, found[0].reason) if found else None
