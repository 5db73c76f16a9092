"""What customers, providers and senders say in the model's world: messages, edits, returned mail, reports.

Not here: agents' commands (the tests give them), and what must come of it all (`model_world`).
"""

import hashlib
from datetime import UTC, datetime, timedelta

from threadline_events import ids
from threadline_events.deliveries import DeliveryUpdated
from threadline_events.evidence import Evidence
from threadline_events.inbound import Author, Connector, Hints, InboundEvent, Part, Participant, Receipt, Relations
from threadline_events.outbound import OutboundMessage

__all__ = ["ACCOUNT", "BRAND", "NOW", "bounced", "contact_of", "edited", "identity_of", "received", "reported"]

BRAND, ACCOUNT = "acme", "support-mail"
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
_START = datetime(2026, 11, 23, 9, tzinfo=UTC)


def identity_of(name: str) -> str:
    """A customer's address."""
    return f"email:{name}@client.test"


def contact_of(name: str) -> str:
    """A customer's contact."""
    return ids.contact_id(BRAND, identity_of(name))


def received(name: str, number: int, author: str, *, mail: bool, ref: str | None, minute: int, intake: int) -> InboundEvent:
    """A message. `name` gives the external id, `ref` the name of the message it answers."""
    at = _START + timedelta(minutes=minute)
    external = f"{name}@client.test"
    channel = "email" if mail else "webchat"
    message_id = ids.mail_message_id(BRAND, external, name.encode()) if mail else ids.message_id(BRAND, channel, ACCOUNT, external)
    answered = (ref if "@" in ref else f"{ref}@client.test") if ref else None
    return InboundEvent(
        event_id=ids.event_id(channel, ACCOUNT, external, "message.received"),
        message_id=message_id,
        intake_id=f"i_{name}_{intake}",
        kind="message.received",
        channel=channel,
        account_id=ACCOUNT,
        brand=BRAND,
        external_id=external,
        native_thread=external,
        author=Author(identity=identity_of(author), evidence=Evidence.CLAIMED),
        participants=(Participant(identity="email:support@acme.test", role="to"),),
        occurred_at=at,
        received_at=at,
        order=f"{number:010}",
        subject=f"Question {name}",
        text=f"Text of {name}",
        reply_text=f"Text of {name} {hashlib.sha256(name.encode()).hexdigest().translate(str.maketrans('0123456789', 'ghijklmnop'))}",
        parts=(Part(type="text", text=f"Text of {name}"),),
        relates_to=Relations(reply_to=answered),
        hints=Hints(references=(answered,) if answered else ()),
        reply_address={"address": f"{author}@client.test", "display_name": None},
        connector=Connector(name="email", version="1"),
    )


def edited(message: InboundEvent, revision: int, intake: int) -> InboundEvent:
    """A revision of a message."""
    return message.model_copy(
        update={
            "event_id": ids.event_id(message.channel, ACCOUNT, message.external_id or "", "message.edited", revision),
            "kind": "message.edited",
            "intake_id": f"{message.intake_id}_e{revision}_{intake}",
            "revision": revision,
            "text": f"revision {revision}",
            "relates_to": Relations(edits=message.external_id),
        }
    )


def _relayed(outbound: OutboundMessage) -> str:
    """The id under which the provider knows an attempt."""
    return f"relay-{outbound.message_id}-{outbound.attempt}@relay.test"


def bounced(outbound: OutboundMessage) -> InboundEvent:
    """A receipt that says it came back: a mail by our own Message-ID, else by the id that only the sender's report tells."""
    name = outbound.mail.message_id if outbound.mail else _relayed(outbound)
    base = received(f"bounce-{outbound.message_id}-{outbound.attempt}", 0, "mailer-daemon", mail=True, ref=None, minute=0, intake=1)
    return base.model_copy(
        update={
            "kind": "receipt.received",
            "channel": outbound.channel,
            "relates_to": Relations(receipt=Receipt(of=name, status="failed", reason="user unknown")),
            "event_id": ids.event_id(outbound.channel, ACCOUNT, name, "receipt.received", "failed"),
        }
    )


def reported(outbound: OutboundMessage) -> DeliveryUpdated:
    """A sender's report that it was sent."""
    return DeliveryUpdated(
        message_id=outbound.message_id,
        channel=outbound.channel,
        account_id=outbound.account_id,
        brand=outbound.brand,
        native_thread=outbound.native_thread,
        attempt=outbound.attempt,
        try_=1,
        state="sent",
        external_ids=(_relayed(outbound),),
        started_at=NOW,
        ended_at=NOW,
    )
