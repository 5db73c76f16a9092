"""A whole API on `:memory:` with conversations of two brands, for tests of the API and of the page.

Documents are stored as the router's core leaves them. Not here: the pipeline that makes them from events.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from threadline_events import ids
from threadline_events.commands import Actor, AnyCommand, LinkIdentity
from threadline_events.evidence import Evidence
from threadline_events.inbound import Attachment, Author
from threadline_events.records import timeline_record
from threadline_events.states import DeliveryRank
from threadline_events.timeline import Conversation
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.blobs.keys import attachment_key
from threadline_runtime.bus.port import Bus
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.signing import SigningKeys
from threadline_runtime.sqlite import MEMORY, SqliteDatabase

from router.amending import Amending
from router.api import sqlite as api_sqlite
from router.api.app import create_app
from router.api.feed import LiveFeed
from router.api.keys import Scope, digest_of, new_key
from router.api.parts import ApiParts, CommandConflict
from router.api.singles import Singles
from router.api.stores import described
from router.commands import CommandConflictError, Commands
from router.domain.documents import Attempt, Contact, Edge, EntryDocument, IntakeRef, OutboxItem, Strand, Suggestion, Why
from router.domain.edges import decide_edge, new_edge
from router.domain.policy import Account, BrandPolicy, Policies
from router.domain.strands import summary
from router.domain.tokens import MailSigner
from router.domain.views import conversation_changed, entry_changed
from router.linking import Linking
from router.outbox import Outbox
from router.parts import Parts
from router.people import readings
from router.store import sqlite as store_sqlite
from router.store.port import ContactChange, EdgeChange, JournalRow
from router.store.sqlite_journal import SqliteJournal

__all__ = ["NOW", "World"]

BRANDS = ("acme", "globex")
CHANNELS = ("email", "whatsapp", "webchat", "telegram", "instagram", "sms", "mastodon")
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


class Silent:
    """Counts nothing."""

    def received(self, channel: str, account_id: str) -> None:
        """See `Tally`."""

    def stored(self, channel: str, account_id: str, seconds: float) -> None:
        """See `Tally`."""

    def ended(self, channel: str, account_id: str, outcome: str, reason: str | None) -> None:
        """See `Tally`."""


class Desk:
    """The router's real commands, as the API calls them."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def ask(self, command: AnyCommand) -> EntryDocument:
        """See `CommandDesk`."""
        try:
            return await self._commands.submit(command)
        except CommandConflictError as error:
            raise CommandConflict(str(error)) from error


def _policies() -> Policies:
    accounts = [
        Account(
            f"{brand}-{channel}", channel, brand, f"support@{brand}.example" if channel == "email" else None, f"{brand.title()} Support"
        )
        for brand in BRANDS
        for channel in CHANNELS
    ]
    return Policies({brand: BrandPolicy(brand, brand.title()) for brand in BRANDS}, {one.account_id: one for one in accounts})


@dataclass
class World:
    """Stores, the app over them, and what a test puts in."""

    database: SqliteDatabase
    store: store_sqlite.SqliteTimeline
    journal: SqliteJournal
    blobs: FileBlobs
    bus: Bus
    parts: ApiParts
    app: FastAPI
    now: datetime = NOW
    clock: Callable[[], datetime] | None = None
    """A moving clock; without it the time is `now` until a test says otherwise."""
    _made: int = 0

    @classmethod
    async def open(cls, folder: Path, *, bus: Bus | None = None, **settings: Any) -> "World":
        """An empty world with two brands, acme and globex, an account a channel each; a `bus` that is given is closed with it."""
        database = SqliteDatabase.open(MEMORY)
        await store_sqlite.migrate(database)
        await api_sqlite.migrate(database)
        bus = bus or await SqliteBus.open(database)
        store, journal, blobs = store_sqlite.SqliteTimeline(database), SqliteJournal(database), FileBlobs.open(folder / "blobs")
        state = {"count": 0}

        def clock() -> datetime:
            return world.time()

        def randomness(size: int) -> bytes:
            state["count"] += 1
            return state["count"].to_bytes(size, "big")

        uploads = api_sqlite.SqliteUploads(database)
        policies = _policies()
        signer = MailSigner(SigningKeys([b"k" * 32]), policies.mail_accounts())
        core = Parts(store, store, store, described(uploads), bus, clock, policies, signer, Silent())
        outbox = Outbox(core, Amending(core))
        keys = api_sqlite.SqliteKeys(database)
        parts = ApiParts(
            store=store,
            journal=journal,
            blobs=blobs,
            keys=keys,
            singles=Singles.of(keys, store),
            idempotency=api_sqlite.SqliteIdempotency(database),
            uploads=uploads,
            commands=Desk(Commands(core, outbox, Linking(core, outbox))),
            feed=LiveFeed(bus),
            brands=BRANDS,
            now=clock,
            randomness=randomness,
            **settings,
        )
        world = cls(database, store, journal, blobs, bus, parts, create_app(parts))
        return world

    def time(self) -> datetime:
        """What the clock says."""
        return self.clock() if self.clock is not None else self.now

    async def key(self, *scopes: Scope, brands: tuple[str, ...] | None = None, name: str = "Mia Hart") -> str:
        """A new key's secret."""
        made, secret = new_key(name, scopes or (Scope.REPLY,), brands, randomness=self.parts.randomness, now=self.now)
        await self.parts.keys.add(made, digest_of(secret))
        return secret

    async def contact(self, identity: str, name: str | None = None, brand: str = "acme", evidence: Evidence = Evidence.SIGNED) -> Contact:
        """A contact before anything was written."""
        contact = Contact(
            contact_id=ids.contact_id(brand, identity), brand=brand, identity=identity, display_name=name, evidence=evidence, version=1
        )
        await self.store.commit_contacts([ContactChange(0, contact, OutboxItem(number=1, at=self.now))])
        await self.store.pull("contacts", [(contact.contact_id, 1)])
        return contact

    async def strand(self, contact: Contact, subject: str | None, channel: str, at: datetime, **more: Any) -> Strand:
        """An open strand of a contact."""
        strand = Strand(
            strand_id=ids.strand_id(f"{contact.contact_id}{at.isoformat()}"),
            brand=contact.brand,
            owner=contact.contact_id,
            owner_identity=contact.identity,
            version=1,
            opened_at=at,
            inbound_seq=1,
            subject=subject,
            channels=(channel,),
            last_activity_at=at,
            **({"status": "open"} | more),
        )
        return await self.keep(strand)

    async def keep(self, strand: Strand) -> Strand:
        """Store a strand's copy as its next version, derive its summary, and publish that."""
        known = (await self.store.strands([strand.strand_id])).get(strand.strand_id)
        if known is not None:
            strand = strand.model_copy(update={"version": known.version + 1})
        stored = (await self.store.contacts([strand.owner]))[strand.owner].contact
        place = "active" if strand.status == "open" else "last"
        changed = stored.model_copy(update={"version": stored.version + 1, "active": None} | {place: strand})
        await self.store.commit_contacts([ContactChange(stored.version, changed, OutboxItem(number=changed.version, at=self.now))])
        await self.store.pull("contacts", [(strand.owner, changed.version)])
        await self.store.write_strands([strand])
        await self.derive(strand)
        return strand

    async def derive(self, strand: Strand) -> Conversation:
        """Derive and publish the summary of a strand."""
        read = (await readings(self.store, [strand.owner]))[strand.owner]
        old = (await self.store.summaries([strand.strand_id])).get(strand.strand_id)
        made = summary(read, strand.strand_id, old.version + 1 if old else 1, self.now)
        await self.store.write_summaries([made])
        await self.bus.publish([timeline_record(conversation_changed(made))])
        return made

    async def message(
        self,
        strand: Strand,
        text: str,
        at: datetime,
        *,
        channel: str = "email",
        author: Author | None = None,
        direction: Literal["inbound", "outbound", "internal"] = "inbound",
        **more: Any,
    ) -> EntryDocument:
        """A filed entry, with its payload journalled; the strand's activity moves on."""
        self._made += 1
        contact = (await self.store.contacts([strand.owner]))[strand.owner].contact
        author = author or Author(identity=contact.identity, display_name=contact.display_name, evidence=contact.evidence)
        ref = IntakeRef(intake_id=ids.polled_intake_id("support", self._made), index=0)
        fields: dict[str, Any] = {
            "message_id": ids.message_id(strand.brand, channel, "support", str(self._made)),
            "brand": strand.brand,
            "party": strand.owner,
            "party_identity": strand.owner_identity,
            "strand_id": strand.strand_id,
            "direction": direction,
            "channel": channel,
            "account_id": f"{strand.brand}-{channel}",
            "accounts": (f"{strand.brand}-{channel}",),
            "author": author,
            "author_contact": ids.contact_id(strand.brand, author.identity) if direction == "inbound" else None,
            "occurred_at": at,
            "received_at": at + timedelta(seconds=2),
            "order": f"{self._made:08}",
            "subject": strand.subject,
            "text": text,
            "reply_text": text,
            "reply_address": {"to": strand.owner_identity} if direction == "inbound" else None,
            "why": (Why(rule="active strand", decided=True),),
        }
        if direction == "inbound":
            fields |= {"made": ref, "intakes": (ref,)}
            await self.journal.add([_row(ref, strand.brand, channel, at, text.encode())])
        entry = EntryDocument(**(fields | more))
        await self.store.file([entry])
        await self.bus.publish([timeline_record(entry_changed(entry))])
        moved = (await self.store.strands([strand.strand_id]))[strand.strand_id]
        await self.keep(
            moved.model_copy(
                update={
                    "last_activity_at": max(moved.last_activity_at, entry.received_at),
                    "channels": moved.channels if channel in moved.channels or direction == "internal" else (*moved.channels, channel),
                    "inbound_seq": moved.inbound_seq + (direction == "inbound"),
                }
            )
        )
        return entry

    async def reply(
        self, strand: Strand, text: str, at: datetime, rank: DeliveryRank, *, reason: str | None = None, channel: str = "email", **more: Any
    ) -> EntryDocument:
        """What an agent sent, with the state it has come to."""
        attempt = Attempt(number=1, rank=rank, reason=reason, command_id=f"k_{self._made}", queued_at=at)
        agent = Author(identity="key:mia", display_name="Mia Hart", role="agent", evidence=Evidence.EXPLICIT)
        return await self.message(
            strand, text, at, channel=channel, author=agent, direction="outbound", attempts=(attempt,), result="done", **more
        )

    async def note(self, strand: Strand, text: str, at: datetime, name: str = "Jon Park") -> EntryDocument:
        """An internal note."""
        agent = Author(identity="key:jon", display_name=name, role="agent", evidence=Evidence.EXPLICIT)
        return await self.message(strand, text, at, channel="email", author=agent, direction="internal", kind="note", result="done")

    async def moved(self, entry: EntryDocument, rank: DeliveryRank, reason: str | None = None) -> EntryDocument:
        """The entry with its last attempt at another state, stored and published."""
        last = entry.attempts[-1].model_copy(update={"rank": rank, "reason": reason})
        changed = entry.model_copy(update={"attempts": (*entry.attempts[:-1], last), "version": entry.version + 1})
        await self.store.update_entries([changed])
        await self.bus.publish([timeline_record(entry_changed(changed))])
        return changed

    async def attachment(self, brand: str, data: bytes, sha256: str, **more: Any) -> Attachment:
        """A stored file."""
        await self.blobs.put(attachment_key(brand, sha256), data)
        return Attachment(sha256=sha256, size=len(data), **more)

    async def suggestion(self, brand: str, one: str, other: str, reason: str) -> None:
        """A pair that may be one person."""
        low, high = sorted((one, other))
        link = ids.link_id(brand, low, high)
        pair = Suggestion(link_id=link, brand=brand, one=low, other=high, evidence=Evidence.CLAIMED, reason=reason, at=self.now)
        await self.store.suggest(pair)

    async def link(self, one: Contact, other: Contact) -> Edge:
        """An explicit link; the summaries of strands that join are derived again."""
        command = LinkIdentity(
            command_id=f"k_{self._made}",
            brand=one.brand,
            actor=Actor(identity="key:mia"),
            issued_at=self.now,
            one=one.identity,
            other=other.identity,
            evidence=Evidence.EXPLICIT,
        )
        edge, _ = decide_edge(new_edge(one.brand, one.identity, other.identity), command, self.now)
        await self.store.commit_edge(EdgeChange(0, edge, OutboxItem(number=1, at=self.now)))
        await self.store.pull("edges", [(edge.link_id, 1)])
        for strand in sorted(await self.store.strands_of(edge.pair), key=lambda one: one.joins is None):
            await self.derive(strand)
        return edge

    async def close(self) -> None:
        """Let go of everything."""
        await self.bus.close()
        await self.database.close()


def _row(ref: IntakeRef, brand: str, channel: str, at: datetime, raw: bytes) -> JournalRow:
    return JournalRow(
        intake_id=ref.intake_id,
        account_id=f"{brand}-{channel}",
        channel=channel,
        brand=brand,
        received_at=at,
        event_count=1,
        origin="poll",
        media_type="message/rfc822",
        raw=raw,
        blob=None,
        size=len(raw),
    )
