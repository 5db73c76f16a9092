"""Record keys and the keys under which events wait for their target. Nobody else joins strings into a key."""

from functools import lru_cache

from threadline_events import ids
from threadline_events.commands import Command
from threadline_events.deliveries import AnyDelivery, DeskPosted
from threadline_events.inbound import InboundEvent
from threadline_events.outbound import OutboundMessage

__all__ = [
    "command_key",
    "delivery_key",
    "desk_key",
    "inbound_key",
    "intake_key",
    "lane_key",
    "outbound_key",
    "target_key",
    "target_message_id",
    "timeline_key",
]


_SEPARATOR = "\x1f"


def _join(*parts: str) -> str:
    return _SEPARATOR.join(parts)


def lane_key(channel: str, account_id: str, native_thread: str | None, message_id: str) -> str:
    """The lane of an outbound message: its native thread, or itself where the channel has none."""
    return _join(channel, account_id, native_thread or message_id)


def intake_key(account_id: str) -> bytes:
    """Intakes go by account."""
    return account_id.encode()


def inbound_key(event: InboundEvent) -> bytes:
    """Inbound events go by channel, account and native thread, else sender."""
    return _join(event.channel, event.account_id, event.native_thread or event.author.identity).encode()


def desk_key(desk_id: str, reference: str) -> str:
    """Where commands of a desk's reference go, and wait until the reference is known."""
    return _join(desk_id, reference)


def command_key(command: Command) -> bytes:
    """Commands go by conversation, else by desk and reference."""
    return (command.conversation_id or desk_key(command.desk_id or "", command.desk_reference or "")).encode()


def timeline_key(conversation_id: str | None, contact_id: str) -> bytes:
    """Timeline changes go by conversation, else by contact."""
    return (conversation_id or contact_id).encode()


def outbound_key(message: OutboundMessage) -> bytes:
    """Outbound messages go by lane."""
    return lane_key(message.channel, message.account_id, message.native_thread, message.message_id).encode()


def delivery_key(report: AnyDelivery) -> bytes:
    """Deliveries go as the outbound message did; desk posts by conversation."""
    if isinstance(report, DeskPosted):
        return report.conversation_id.encode()
    return lane_key(report.channel, report.account_id, report.native_thread, report.message_id).encode()


def target_key(channel: str, account_id: str, brand: str, external_id: str) -> str:
    """Where an edit, receipt or reaction waits for the message it names: mail by brand and Message-ID, else by account."""
    return _join("email", brand, external_id) if channel == "email" else _join(channel, account_id, brand, external_id)


@lru_cache(maxsize=1024)  # a batch asks for the same few times
def target_message_id(key: str) -> str | None:
    """The id of the message that a `target_key` names, if the connector made that id of nothing but this name; None for mail.

    Whether it did is for the caller to see: a connector may know its messages by another id than the provider shows.
    """
    channel, *rest = key.split(_SEPARATOR, 3)
    if channel == "email" or len(rest) != 3:
        return None
    account_id, brand, external_id = rest
    return ids.message_id(brand, channel, account_id, external_id)
