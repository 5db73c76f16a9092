"""What the API takes and answers beyond the contract's own entry and conversation.

Bodies refuse unknown fields, so that a typing error is never a silent nothing.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from threadline_events.evidence import Evidence
from threadline_events.model import Model, Timestamp
from threadline_events.timeline import Conversation, Entry

from router.domain.documents import IntakeRef, LinkRecord, Suggestion, Try, Why

__all__ = [
    "AttachmentView",
    "AttemptView",
    "Attempts",
    "ContactBrief",
    "ContactIdentity",
    "ContactView",
    "ConversationChange",
    "ConversationDetail",
    "ConversationItem",
    "ConversationPage",
    "EntryPageView",
    "Explanation",
    "LinkView",
    "Me",
    "NewLink",
    "NewNote",
    "NewReply",
    "ParticipantView",
    "Preview",
    "SuggestionPage",
]

_MAX_TEXT = 200_000


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a NUL character is not allowed")
    return text


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("control characters are not allowed")
    return text


Body = Annotated[str, Field(max_length=_MAX_TEXT), AfterValidator(_no_nul)]
Line = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_one_line)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewReply(_Asked):
    """A reply to the customer. Without `in_reply_to` it answers the latest message that can be answered."""

    text: Body = ""
    html: Body | None = None
    attachments: tuple[Sha256, ...] = Field(default=(), max_length=50)
    in_reply_to: Line | None = None
    account_id: Line | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.text.strip() and not self.html and not self.attachments:
            raise ValueError("a reply needs text or an attachment")
        return self


class NewNote(_Asked):
    """An internal note; it never leaves to a customer."""

    text: Body = Field(min_length=1)
    attachments: tuple[Sha256, ...] = Field(default=(), max_length=50)


class ConversationChange(_Asked):
    """What to change; a field that is left out stays. `as_of` is the conversation's own, as it was read."""

    status: Literal["open", "snoozed", "resolved"] | None = None
    assignee: Line | None = None
    snoozed_until: Timestamp | None = None
    as_of: Annotated[str, Field(max_length=100_000)] | None = None

    @model_validator(mode="after")
    def _is_one_change(self) -> Self:
        if not self.model_fields_set & {"status", "assignee", "snoozed_until"}:
            raise ValueError("nothing to change: give status, assignee or snoozed_until")
        if self.status == "snoozed" and self.snoozed_until is None:
            raise ValueError("snoozed needs snoozed_until")
        if self.status in {"open", "resolved"} and self.snoozed_until is not None:
            raise ValueError("snoozed_until goes with the status snoozed only")
        return self


class NewLink(_Asked):
    """Two identities (`channel:value`) of a brand that are one person."""

    one: Line
    other: Line
    brand: Line | None = None
    reason: Annotated[str, Field(max_length=500), AfterValidator(_no_nul)] = ""


class Me(Model):
    """The key that asks."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    brands: tuple[str, ...]


class ContactBrief(Model):
    """A contact in one line."""

    contact_id: str
    identity: str
    display_name: str | None = None


class Preview(Model):
    """The newest words of a conversation. `state` says what became of them where they are ours."""

    text: str
    by_us: bool
    state: str | None = None
    occurred_at: Timestamp


class ConversationItem(Conversation):
    """A conversation in a list. `preview` only with `include=preview`."""

    contact: ContactBrief
    preview: Preview | None = None


class ConversationPage(Model):
    """A page of conversations, newest activity first."""

    items: tuple[ConversationItem, ...]
    next: str | None


class ContactIdentity(Model):
    """One address of a person."""

    contact_id: str
    identity: str
    channel: str
    display_name: str | None = None
    evidence: Evidence


class LinkView(Model):
    """What was said about two identities being one person. `active` links connect."""

    link_id: str
    brand: str
    one: str
    other: str
    active: bool
    evidence: Evidence | None
    history: tuple[LinkRecord, ...]


class ContactView(Model):
    """A person: the contact that was asked for first, then all that links connect it to."""

    contact_id: str
    brand: str
    display_name: str | None
    identities: tuple[ContactIdentity, ...]
    links: tuple[LinkView, ...]


class ParticipantView(Model):
    """Somebody beside the customer and us."""

    identity: str
    display_name: str | None = None
    role: str


class ConversationDetail(Conversation):
    """A conversation with whom it is about."""

    contact: ContactView
    participants: tuple[ParticipantView, ...]
    preview: Preview | None = None


class EntryPageView(Model):
    """A page of a timeline."""

    items: tuple[Entry, ...]
    next: str | None


class Explanation(Model):
    """Why a message is where it is: the rules that were looked at, in their order, as stored with the decision."""

    message_id: str
    brand: str
    strand_id: str | None
    conversation_id: str | None
    party: str
    rules: tuple[Why, ...]
    made_by: IntakeRef | None
    intakes: tuple[IntakeRef, ...]
    command_id: str | None


class AttemptView(Model):
    """A person's decision to send, with each provider call made for it."""

    attempt: int
    state: str
    reason: str | None
    external_ids: tuple[str, ...]
    queued_at: Timestamp
    tries: tuple[Try, ...]


class Attempts(Model):
    """All attempts, oldest first."""

    items: tuple[AttemptView, ...]


class SuggestionPage(Model):
    """Pairs that may be one person."""

    items: tuple[Suggestion, ...]
    next: str | None


class AttachmentView(Model):
    """An uploaded file; name its `sha256` in a reply."""

    sha256: str
    size: int
    media_type: str
    file_name: str | None
    brand: str
