"""What agents and programs ask for: `threadline.commands.v1`. Imperative, one consumer (the router)."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from threadline_events.evidence import Evidence
from threadline_events.model import Model, Timestamp

__all__ = [
    "Actor",
    "AddNote",
    "AnyCommand",
    "Assign",
    "Command",
    "ConfirmMessage",
    "LinkIdentity",
    "Reopen",
    "Resolve",
    "RetryMessage",
    "SendReply",
    "Snooze",
    "UnlinkIdentity",
    "parse_command",
]


class Actor(Model):
    """Who asked: an API key, a desk's user."""

    identity: str
    display_name: str | None = None
    evidence: Evidence = Evidence.EXPLICIT


class Command(Model):
    """What every command carries. `command_id` comes from its source; `fingerprint` tells the same id with another body."""

    command_id: str
    brand: str
    conversation_id: str | None = None
    desk_id: str | None = None
    desk_reference: str | None = None
    actor: Actor
    issued_at: Timestamp
    as_of: str | None = None
    fingerprint: str = ""
    intake_id: str | None = None
    intake_index: int | None = None


class SendReply(Command):
    """Answer the customer on the channel that the answered message came from."""

    command: Literal["SendReply"] = "SendReply"
    text: str
    html: str | None = None
    attachments: tuple[str, ...] = ()
    in_reply_to: str | None = None
    account_id: str | None = None


class AddNote(Command):
    """Write an internal note; it never leaves to a customer."""

    command: Literal["AddNote"] = "AddNote"
    text: str
    attachments: tuple[str, ...] = ()


class Resolve(Command):
    """Close the conversation as it was read (`as_of`)."""

    command: Literal["Resolve"] = "Resolve"


class Reopen(Command):
    """Open a resolved conversation again."""

    command: Literal["Reopen"] = "Reopen"


class Snooze(Command):
    """Hide the conversation until a time or until the customer writes."""

    command: Literal["Snooze"] = "Snooze"
    until: Timestamp


class Assign(Command):
    """Say who works on it; null takes it back."""

    command: Literal["Assign"] = "Assign"
    assignee: str | None


class LinkIdentity(Command):
    """Join two contacts on evidence; `automatic` links come from the pipeline itself."""

    command: Literal["LinkIdentity"] = "LinkIdentity"
    one: str
    other: str
    evidence: Evidence
    reason: str = ""
    automatic: bool = False


class UnlinkIdentity(Command):
    """Undo a link; both histories come back."""

    command: Literal["UnlinkIdentity"] = "UnlinkIdentity"
    one: str
    other: str
    reason: str = ""


class RetryMessage(Command):
    """Send a failed or uncertain message again, as the next attempt."""

    command: Literal["RetryMessage"] = "RetryMessage"
    message_id: str


class ConfirmMessage(Command):
    """Record that an uncertain message did arrive."""

    command: Literal["ConfirmMessage"] = "ConfirmMessage"
    message_id: str


AnyCommand = Annotated[
    SendReply | AddNote | Resolve | Reopen | Snooze | Assign | LinkIdentity | UnlinkIdentity | RetryMessage | ConfirmMessage,
    Field(discriminator="command"),
]
_ADAPTER: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)


def parse_command(body: bytes) -> AnyCommand:
    """The command in a record's body; raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(body)
