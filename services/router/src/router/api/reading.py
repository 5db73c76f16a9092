"""What the API reads, always within the brands of the key that asks. What lies outside looks like what is not there.

A conversation follows its person's links at the time of reading. Not here: HTTP, and cleaning for display (`presenting`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from threadline_events.identity import channel_of
from threadline_events.ids import contact_id as contact_id_of
from threadline_events.inbound import Author, Participant
from threadline_events.keys import target_key
from threadline_events.timeline import Conversation, Entry

from router.api.keys import ApiKey
from router.api.models import ContactBrief, ContactIdentity, ContactView, LinkView, ParticipantView, Preview
from router.api.singles import Singles
from router.domain.documents import Contact, Edge, EntryDocument, Strand, Suggestion
from router.domain.strands import as_mapping, conversation_of, root
from router.domain.views import entry_view
from router.people import cases, persons, readings
from router.store.port import ConversationQuery, EntryPage, TimelineStore

__all__ = ["ListQuery", "Place", "Reading", "Walk", "link_view"]

Place = tuple[datetime, str, str]
_SEARCHED = 500
_HOPS = 100
_RECENT = 60
_PREVIEW = 160


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which conversations are asked for."""

    status: str | None = None
    brand: str | None = None
    channel: str | None = None
    contact_id: str | None = None
    words: str | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Walk:
    """A page of a timeline: from where, which way, how many."""

    after: Place | None = None
    descending: bool = False
    limit: int = 50


class Reading:
    """Reads for one key."""

    def __init__(self, store: TimelineStore, singles: Singles, key: ApiKey) -> None:
        self._store = store
        self._singles = singles
        self._key = key

    # ---- conversations
    async def conversations(self, query: ListQuery) -> Sequence[Conversation]:
        """A page of the list, newest activity first."""
        brands = self._brands(query.brand)
        if brands is not None and not brands:
            return ()
        ids = await self._narrowed(query, brands)
        if ids is not None and not ids:
            return ()
        asked = ConversationQuery(brands=brands, status=query.status, channel=query.channel, ids=ids, after=query.after, limit=query.limit)
        return await self._store.conversations(asked)

    def _brands(self, brand: str | None) -> frozenset[str] | None:
        if brand is None:
            return self._key.brands
        return frozenset({brand}) if self._key.sees(brand) else frozenset()

    async def _narrowed(self, query: ListQuery, brands: frozenset[str] | None) -> frozenset[str] | None:
        """Ids of the conversations that the words and the contact leave; None where neither was given."""
        found: frozenset[str] | None = None
        if query.words is not None:
            found = await self._roots(await self._store.search(query.words, brands, _SEARCHED))
        if query.contact_id is not None:
            theirs = await self._conversations_of(query.contact_id)
            found = theirs if found is None else found & theirs
        return found

    async def _roots(self, strand_ids: Iterable[str]) -> frozenset[str]:
        """The conversations that strands read in, by their summaries."""
        todo, roots, seen = set(strand_ids), set[str](), set[str]()
        while todo:
            seen |= todo
            summaries = await self._store.summaries(todo)
            roots |= {one.conversation_id for one in summaries.values() if one.joined is None}
            todo = {one.joined for one in summaries.values() if one.joined is not None} - seen
        return frozenset(roots)

    async def _conversations_of(self, contact_id: str) -> frozenset[str]:
        if await self._contact(contact_id) is None:
            return frozenset()
        strands = (await readings(self._store, [contact_id]))[contact_id]
        return frozenset(root(strands, one) for one in strands)

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """The conversation that an id leads to now; one that has joined another answers that one."""
        seen: set[str] = set()
        while conversation_id not in seen and len(seen) < _HOPS:
            seen.add(conversation_id)
            found = await self._singles.summaries.one(conversation_id)
            if found is None or not self._key.sees(found.brand):
                return None
            if found.joined is None:
                return found
            conversation_id = found.joined
        return None

    async def _strands_in(self, conversation: Conversation) -> dict[str, Strand]:
        """The strands that read in it now, by joins and links."""
        here = conversation.conversation_id
        strands = (await cases(self._store, {here: conversation.contact_id}))[here]
        return conversation_of(strands, root(strands, here)) if here in strands else {}

    async def conversation_entries(self, conversation: Conversation, walk: Walk) -> list[Entry]:
        """A page of its timeline."""
        strands = frozenset(await self._strands_in(conversation))
        if not strands:
            return []
        page = EntryPage(strands=strands, after=walk.after, descending=walk.descending, limit=walk.limit)
        documents = self._mine(await self._store.entry_page(page))
        return await self._views(documents, dict.fromkeys(strands, conversation.conversation_id))

    async def briefs(self, conversations: Sequence[Conversation]) -> Mapping[str, ContactBrief]:
        """Whom each conversation is about, by contact id."""
        stored = await self._store.contacts({one.contact_id for one in conversations})
        briefs = {
            i: ContactBrief(contact_id=i, identity=s.contact.identity, display_name=s.contact.display_name) for i, s in stored.items()
        }
        missing = {one.contact_id for one in conversations} - briefs.keys()
        return briefs | {one: ContactBrief(contact_id=one, identity="") for one in missing}

    async def preview(self, conversation: Conversation) -> Preview | None:
        """Its newest words that a customer wrote or may read."""
        # one strand is its own conversation whatever was unlinked meanwhile; more are read by joins and links
        strands = frozenset({conversation.conversation_id} if len(conversation.strands) == 1 else await self._strands_in(conversation))
        page = EntryPage(strands=strands, descending=True, limit=5)
        newest = (one for one in self._mine(await self._store.entry_page(page)) if one.direction != "internal")
        document = next(newest, None)
        if document is None:
            return None
        entry, by_us = entry_view(document), document.direction == "outbound"
        text = " ".join((entry.reply_text or entry.text or "").split())[:_PREVIEW]
        files = ", ".join(one.file_name or "a file" for one in entry.attachments[:3])
        return Preview(text=text or files, by_us=by_us, state=entry.state if by_us else None, occurred_at=entry.occurred_at)

    async def participants(self, conversation: Conversation, contact: ContactView) -> tuple[ParticipantView, ...]:
        """Who else wrote or was in copy lately, beside the customer and our own addresses."""
        strands = frozenset(await self._strands_in(conversation))
        if not strands:
            return ()
        entries = self._mine(await self._store.entry_page(EntryPage(strands=strands, descending=True, limit=_RECENT)))
        known = {one.identity for one in contact.identities}
        found: dict[str, ParticipantView] = {}
        for entry in entries:
            if entry.direction == "inbound":
                found.setdefault(entry.author.identity, _participant(entry.author, "author"))
            for one in entry.participants:
                if one.role == "cc":
                    found.setdefault(one.identity, _participant(one, "cc"))
        return tuple(one for identity, one in found.items() if identity not in known)

    # ---- contacts
    async def _contact(self, contact_id: str) -> Contact | None:
        stored = (await self._store.contacts([contact_id])).get(contact_id)
        return stored.contact if stored is not None and self._key.sees(stored.contact.brand) else None

    async def contact(self, contact_id: str) -> ContactView | None:
        """The whole person of a contact."""
        own = await self._contact(contact_id)
        if own is None:
            return None
        person = (await persons(self._store, [contact_id]))[contact_id]
        stored = await self._store.contacts(person)
        edges = await self._store.edges_of(person)
        others = sorted((one.contact for i, one in stored.items() if i != contact_id), key=lambda one: one.identity)
        everybody = [own, *(one for one in others if one.brand == own.brand)]
        return ContactView(
            contact_id=contact_id,
            brand=own.brand,
            display_name=next((one.display_name for one in everybody if one.display_name), None),
            identities=tuple(_identity(one) for one in everybody),
            links=tuple(link_view(edge) for edge in edges if edge.brand == own.brand),
        )

    async def contact_by_identity(self, identity: str, brand: str) -> ContactView | None:
        """The person of a canonical identity in a brand."""
        return await self.contact(contact_id_of(brand, identity)) if self._key.sees(brand) else None

    async def contact_entries(self, contact: ContactView, walk: Walk) -> list[Entry]:
        """A page of the person's whole life."""
        contacts = frozenset(one.contact_id for one in contact.identities)
        page = EntryPage(parties=contacts, after=walk.after, descending=walk.descending, limit=walk.limit)
        strands = as_mapping(await self._store.strands_of(contacts))
        documents = self._mine(await self._store.entry_page(page))
        return await self._views(documents, {one: root(strands, one) for one in strands})

    async def link(self, link_id: str) -> Edge | None:
        """What was said about two identities."""
        stored = (await self._store.edges([link_id])).get(link_id)
        return stored.edge if stored is not None and self._key.sees(stored.edge.brand) else None

    async def suggestions(self, contact: ContactView | None, after: str | None, limit: int) -> Sequence[Suggestion]:
        """Pairs that may be one person: all, or those that name an identity of `contact`."""
        if self._key.brands is not None and not self._key.brands:
            return ()
        if contact is None:
            return await self._store.suggestions(self._key.brands, after, limit)
        mine = {one.identity for one in contact.identities}
        return await self._fitting(contact.brand, mine, after, limit)

    async def _fitting(self, brand: str, identities: set[str], after: str | None, limit: int) -> Sequence[Suggestion]:
        found: list[Suggestion] = []
        for _ in range(_HOPS):
            page = await self._store.suggestions(frozenset({brand}), after, 200)
            found += [one for one in page if one.one in identities or one.other in identities]
            if len(page) < 200 or len(found) >= limit:
                break
            after = page[-1].link_id
        return found[:limit]

    # ---- messages
    async def document(self, message_id: str) -> EntryDocument | None:
        """A filed message as it is stored."""
        found = await self._singles.entries.one(message_id)
        return found if found is not None and self._key.sees(found.brand) else None

    async def entry(self, document: EntryDocument) -> Entry:
        """A message as it shows, with the conversation it reads in now."""
        roots: dict[str, str] = {}
        if document.strand_id is not None:
            found = await self.conversation(document.strand_id)
            roots[document.strand_id] = found.conversation_id if found is not None else document.strand_id
        return (await self._views([document], roots))[0]

    async def may_read_attachment(self, sha256: str) -> frozenset[str]:
        """The brands whose entries name the file and that the key may see."""
        return frozenset(brand for brand in await self._store.attachment_readers(sha256) if self._key.sees(brand))

    def _mine(self, documents: Sequence[EntryDocument]) -> list[EntryDocument]:
        return [one for one in documents if self._key.sees(one.brand)]

    async def _views(self, documents: Sequence[EntryDocument], roots: Mapping[str, str]) -> list[Entry]:
        answered = await self._answered(documents)
        return [
            _related(entry_view(one, roots.get(one.strand_id) if one.strand_id else None), one.answers or answered.get(one.message_id))
            for one in documents
        ]

    async def _answered(self, documents: Sequence[EntryDocument]) -> dict[str, str]:
        """The message each inbound message answers, where we have it."""
        names = {
            one.message_id: target_key(one.channel, one.account_id or "", one.brand, one.relates_to.reply_to)
            for one in documents
            if one.relates_to.reply_to and one.answers is None
        }
        if not names:
            return {}
        bearers = await self._store.named(set(names.values()))
        answers = {}
        for message_id, name in names.items():
            filed = next((ref for ref in bearers.get(name, ()) if ref.filed and self._key.sees(ref.brand)), None)
            if filed is not None:
                answers[message_id] = filed.message_id
        return answers


def _related(entry: Entry, answers: str | None) -> Entry:
    if answers is None:
        return entry
    return entry.model_copy(update={"relates_to": entry.relates_to.model_copy(update={"reply_to": answers})})


def _participant(who: Author | Participant, role: str) -> ParticipantView:
    return ParticipantView(identity=who.identity, display_name=who.display_name, role=role)


def _brief(contact: Contact) -> ContactBrief:
    return ContactBrief(contact_id=contact.contact_id, identity=contact.identity, display_name=contact.display_name)


def _identity(contact: Contact) -> ContactIdentity:
    return ContactIdentity(
        contact_id=contact.contact_id,
        identity=contact.identity,
        channel=channel_of(contact.identity),
        display_name=contact.display_name,
        evidence=contact.evidence,
    )


def link_view(edge: Edge) -> LinkView:
    """An edge as it shows."""
    return LinkView(
        link_id=edge.link_id,
        brand=edge.brand,
        one=edge.one,
        other=edge.other,
        active=edge.active,
        evidence=edge.evidence,
        history=edge.history,
    )
