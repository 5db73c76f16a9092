"""What the customers of the benchmarks write: events like those of a messaging channel, and the intakes that they came in.

Not here: mails (`corpus_mail`), and how events reach a router (`routing`).
"""

from datetime import UTC, datetime, timedelta

from threadline_events import ids
from threadline_events.inbound import Author, Connector, InboundEvent, Part, RawPayload, Receipt, Relations
from threadline_events.intakes import Intake

__all__ = ["BRAND", "again", "edited", "intake_of", "receipt", "received"]

BRAND = "acme"
_CHANNEL, _ACCOUNT = "telegram", "bot"
_TEXT = "words and more words " * 20
_SPELLED = str.maketrans("0123456789", "abcdefghij")
_RAW = b"From: x\r\n\r\nhello\r\n" * 40
_LATE = timedelta(minutes=1)


def received(number: int, contact: int, *, text: str = _TEXT) -> InboundEvent:
    """The message of that number, written by that contact."""
    now = datetime.now(UTC)
    identity, name = f"{_CHANNEL}:{contact}", f"{contact}/{number}"
    # Messages that differ in numbers only would be taken for a loop of machines.
    text = f"message {str(number).translate(_SPELLED)} {text}"
    return InboundEvent(
        event_id=ids.event_id(_CHANNEL, _ACCOUNT, name, "message.received"),
        message_id=ids.message_id(BRAND, _CHANNEL, _ACCOUNT, name),
        intake_id=ids.polled_intake_id(_ACCOUNT, number),
        kind="message.received",
        channel=_CHANNEL,
        account_id=_ACCOUNT,
        brand=BRAND,
        external_id=name,
        native_thread=identity,
        author=Author(identity=identity, display_name="Ann"),
        occurred_at=now,
        received_at=now,
        order=f"{number:020d}",
        text=text,
        reply_text=text,
        parts=(Part(type="text", text=text),),
        raw=RawPayload(sha256="0" * 64, size=len(_RAW), media_type="application/json"),
        reply_address={"chat": identity},
        connector=Connector(name=_CHANNEL, version="0"),
    )


def again(message: InboundEvent, number: int) -> InboundEvent:
    """The same message brought by another intake."""
    return message.model_copy(update={"intake_id": ids.polled_intake_id(_ACCOUNT, "again", message.external_id or "", number)})


def _about(message: InboundEvent, number: int, kind: str, mark: int, **fields: object) -> InboundEvent:
    """An event that changes a message."""
    name = message.external_id or ""
    return message.model_copy(
        update={
            "event_id": ids.event_id(_CHANNEL, _ACCOUNT, name, kind, mark),
            "intake_id": ids.polled_intake_id(_ACCOUNT, kind, name, mark, number),
            "kind": kind,
            "occurred_at": message.occurred_at + _LATE,
            **fields,
        }
    )


def edited(message: InboundEvent, number: int, revision: int = 1) -> InboundEvent:
    """A revision of a message."""
    text = f"edited {number} {_TEXT}"
    words = {"text": text, "reply_text": text, "parts": (Part(type="text", text=text),)}
    return _about(message, number, "message.edited", revision, revision=revision, relates_to=Relations(edits=message.external_id), **words)


def receipt(message: InboundEvent, number: int) -> InboundEvent:
    """A receipt for a message, each one of its own."""
    told = Receipt(of=message.external_id, status="read")
    return _about(message, number, "receipt.received", number, text=None, reply_text=None, parts=(), relates_to=Relations(receipt=told))


def intake_of(event: InboundEvent) -> Intake:
    """The intake that an event came in."""
    assert event.intake_id is not None
    assert event.received_at is not None
    return Intake(event.intake_id, 1, event.channel, event.account_id, event.brand, event.received_at, "push", "application/json", _RAW)
