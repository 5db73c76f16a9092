"""Whose case a mail belongs to, in order of trust; never by subject.

`gather` reads what a mail says about its relatives; `place` looks at what was found in the store and names the contact.
Which strand of that contact it becomes part of is decided in the contact's own document (`decide`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from threadline_events.ids import contact_id
from threadline_events.inbound import InboundEvent
from threadline_events.keys import target_key

from router.domain.documents import EntryRef, Strand, Why
from router.domain.tokens import MailSigner, OwnMessage, ReplyToken, worth_verifying

__all__ = ["Evidence", "Known", "Placement", "gather", "mentioned_names", "place", "wanted_names", "wanted_refs", "wanted_strands"]

_FIRST, _LAST = 5, 40
_MENTIONED = 12
_VERIFIED = 12


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a mail says about its relatives. `foreign`: signed names of other brands, which count for nothing."""

    reply_tokens: tuple[ReplyToken, ...] = ()
    subject_token: ReplyToken | None = None
    own: tuple[OwnMessage, ...] = ()
    references: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    thread: str | None = None
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What the store holds of a batch's relatives."""

    refs: Mapping[str, EntryRef] = field(default_factory=dict)
    named: Mapping[str, Sequence[EntryRef]] = field(default_factory=dict)
    mentioning: Mapping[str, Sequence[EntryRef]] = field(default_factory=dict)
    strands: Mapping[str, Strand] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """Whose case it is, and why."""

    party: str
    identity: str
    why: tuple[Why, ...]


def _external_references(event: InboundEvent) -> list[str]:
    """Message-IDs it answers, most telling first: the bounced mail, In-Reply-To, then References from the last to the first."""
    found = [event.hints.bounce.original_external_id if event.hints.bounce else None, event.relates_to.reply_to]
    references = list(event.hints.references)
    trimmed = references if len(references) <= _FIRST + _LAST else references[:_FIRST] + references[-_LAST:]
    return list(dict.fromkeys(one for one in [*found, *reversed(trimmed)] if one))


def mentioned_names(evidence: Evidence) -> tuple[str, ...]:
    """The most telling references, stored with the entry so that a late parent finds its replies."""
    return evidence.references[:_MENTIONED]


def _id_of(signed: ReplyToken | OwnMessage) -> str:
    return signed.strand_id if isinstance(signed, ReplyToken) else signed.message_id


def gather(event: InboundEvent, signer: MailSigner) -> Evidence:
    """Read and verify everything that a mail says about its relatives."""
    external = _external_references(event)
    own = [signer.read_message_id(one) for one in [e for e in external if e.lower().startswith("tl1.")][:_VERIFIED]]
    given = event.hints.reply_tokens + ((event.hints.reply_token,) if event.hints.reply_token else ())
    addresses = worth_verifying(given)
    own += [signer.read_envelope(one) for one in addresses]
    tokens = [signer.read_reply(one) for one in addresses]
    subject = signer.read_reply(event.hints.subject_token) if event.hints.subject_token else None
    foreign = tuple(f"{s.brand}: {_id_of(s)}" for s in [*tokens, subject, *own] if s and s.brand != event.brand)
    thread = event.native_thread if event.native_thread and event.native_thread not in {event.external_id, *external} else None
    return Evidence(
        reply_tokens=tuple(t for t in tokens if t and t.brand == event.brand),
        subject_token=subject if subject and subject.brand == event.brand else None,
        own=tuple(o for o in own if o and o.brand == event.brand),
        references=tuple(target_key(event.channel, event.account_id, event.brand, one) for one in external),
        names=(target_key(event.channel, event.account_id, event.brand, event.external_id),) if event.external_id else (),
        thread=target_key(event.channel, event.account_id, event.brand, thread) if thread else None,
        foreign=foreign,
    )


def wanted_strands(evidence: Evidence) -> list[str]:
    """Strands to look up."""
    tokens = [*evidence.reply_tokens, *([evidence.subject_token] if evidence.subject_token else [])]
    return [t.strand_id for t in tokens]


def wanted_refs(evidence: Evidence) -> list[str]:
    """Messages to look up by id."""
    return [o.message_id for o in evidence.own]


def wanted_names(evidence: Evidence) -> list[str]:
    """Messages to look up by name."""
    return [*evidence.references, *([evidence.thread] if evidence.thread else [])]


def _by_token(tokens: Sequence[ReplyToken], known: Known) -> Strand | None:
    return next((known.strands[t.strand_id] for t in tokens if t.strand_id in known.strands), None)


def _candidates(event: InboundEvent, evidence: Evidence, known: Known) -> list[tuple[str, Strand | EntryRef | None]]:
    """The rules in order of trust, each with what it found."""

    def ref(found: Sequence[EntryRef | None]) -> EntryRef | None:
        return next((c for c in found if c is not None and c.brand == event.brand and c.message_id != event.message_id), None)

    named = [r for name in evidence.references for r in known.named.get(name, ())]
    sent = [*(known.refs.get(o.message_id) for o in evidence.own), *(r for r in named if r.direction == "outbound")]
    children = [r for name in evidence.names for r in known.mentioning.get(name, ())]
    subject = (evidence.subject_token,) if evidence.subject_token else ()
    return [
        ("signed reply address", _by_token(evidence.reply_tokens, known)),
        ("answers a message we sent", ref(sent)),
        ("answers an earlier mail", ref(named)),
        ("is the parent of an earlier mail", ref(children)),
        ("signed subject token", _by_token(subject, known)),
        ("provider's thread", ref(known.named.get(evidence.thread, ())) if evidence.thread else None),
    ]


def place(event: InboundEvent, evidence: Evidence, known: Known) -> Placement:
    """The first rule, by trust, that names a contact of the brand; else the author's own."""
    looked = tuple(Why(rule="other brand ignored", saw=one) for one in evidence.foreign)
    for rule, found in _candidates(event, evidence, known):
        if isinstance(found, Strand) and found.brand == event.brand:
            return Placement(found.owner, found.owner_identity, (*looked, Why(rule=rule, saw=found.strand_id, decided=True)))
        if isinstance(found, EntryRef):
            return Placement(found.party, found.party_identity, (*looked, Why(rule=rule, saw=found.message_id, decided=True)))
    identity = event.author.identity
    return Placement(contact_id(event.brand, identity), identity, (*looked, Why(rule="author", decided=True)))
