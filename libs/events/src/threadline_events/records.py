"""Models to records of the bus and back: CloudEvents 1.0 binary-mode headers, the body is the model's JSON.

Not here: the bus itself, and what to do with a record that cannot be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from threadline_events import keys, topics
from threadline_events.commands import AnyCommand
from threadline_events.deliveries import AnyDelivery, DeliveryUpdated
from threadline_events.inbound import InboundEvent, Origin
from threadline_events.intakes import Intake
from threadline_events.model import spell_time
from threadline_events.outbound import OutboundMessage
from threadline_events.timeline import AnyTimelineChange, EntryChanged

__all__ = [
    "Record",
    "RecordError",
    "command_record",
    "delivery_record",
    "inbound_record",
    "intake_of",
    "intake_record",
    "outbound_record",
    "timeline_record",
]

_JSON = b"application/json"


class RecordError(ValueError):
    """The record is not what its topic carries."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is published: a key that decides order, a value, and headers."""

    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)


def _headers(record_id: str, kind: str, source: str, **more: str | int | None) -> dict[str, bytes]:
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": record_id.encode(),
        "ce_type": kind.encode(),
        "ce_source": source.encode(),
        "content-type": _JSON,
    }
    for name, value in more.items():
        if value is not None:
            headers["ce_" + name] = str(value).encode()
    return headers


def inbound_record(event: InboundEvent) -> Record:
    """An inbound event as a record; its headers alone suffice to account for it."""
    headers = _headers(
        event.event_id,
        event.kind,
        f"/{event.channel}/{event.account_id}",
        intakeid=event.intake_id,
        intakeindex=event.intake_index,
        intakecount=event.intake_count,
        account=event.account_id,
        channel=event.channel,
    )
    return Record(topics.INBOUND, keys.inbound_key(event), event.to_json(), headers)


def intake_record(intake: Intake) -> Record:
    """An intake as a record: the payload is the value, unchanged."""
    headers = _headers(
        intake.intake_id,
        "intake.taken",
        f"/{intake.channel}/{intake.account_id}",
        intakeid=intake.intake_id,
        intakecount=intake.event_count,
        channel=intake.channel,
        account=intake.account_id,
        brand=intake.brand,
        receivedat=spell_time(intake.received_at),
        origin=intake.origin,
        outcome=intake.outcome,
        reason=intake.reason,
    )
    headers["content-type"] = intake.media_type.encode()
    if intake.blob is not None:
        headers["blob"] = intake.blob.encode()
    return Record(topics.INTAKES, keys.intake_key(intake.account_id), intake.raw, headers)


def intake_of(value: bytes, headers: Mapping[str, bytes]) -> Intake:
    """The intake in a record of `threadline.intakes.v1`; raises RecordError."""

    def text(name: str) -> str:
        raw = headers.get(name)
        if raw is None:
            raise RecordError(f"an intake without the header {name}")
        return raw.decode()

    def optional(name: str) -> str | None:
        return headers[name].decode() if name in headers else None

    try:
        received_at = datetime.fromisoformat(text("ce_receivedat"))
        if received_at.tzinfo is None:
            raise RecordError("an intake's ce_receivedat needs a zone")
        return Intake(
            intake_id=text("ce_intakeid"),
            event_count=int(text("ce_intakecount")),
            channel=text("ce_channel"),
            account_id=text("ce_account"),
            brand=text("ce_brand"),
            received_at=received_at,
            origin=_origin(text("ce_origin")),
            media_type=text("content-type"),
            raw=value,
            blob=optional("blob"),
            outcome=optional("ce_outcome"),
            reason=optional("ce_reason"),
        )
    except UnicodeDecodeError as error:
        raise RecordError("an intake's headers are not UTF-8") from error
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError("an intake's headers are not what they should be") from error


def _origin(text: str) -> Origin:
    known: dict[str, Origin] = {"poll": "poll", "push": "push", "replay": "replay", "api": "api", "parse": "parse"}
    if text not in known:
        raise RecordError("unknown ce_origin")
    return known[text]


def command_record(command: AnyCommand) -> Record:
    """A command as a record."""
    headers = _headers(
        command.command_id,
        command.command,
        "/commands",
        intakeid=command.intake_id,
        intakeindex=command.intake_index,
        brand=command.brand,
    )
    return Record(topics.COMMANDS, keys.command_key(command), command.to_json(), headers)


def timeline_record(change: AnyTimelineChange) -> Record:
    """A timeline change as a record."""
    if isinstance(change, EntryChanged):
        entry = change.entry
        key = keys.timeline_key(entry.conversation_id, entry.contact_id)
        return Record(
            topics.TIMELINE,
            key,
            change.to_json(),
            _headers(f"{entry.message_id}/{change.version}", change.type, "/router", brand=entry.brand),
        )
    talk = change.conversation
    key = keys.timeline_key(talk.conversation_id, talk.contact_id)
    return Record(
        topics.TIMELINE,
        key,
        change.to_json(),
        _headers(f"{talk.conversation_id}/{change.version}", change.type, "/router", brand=talk.brand),
    )


def outbound_record(message: OutboundMessage) -> Record:
    """An outbound message as a record."""
    headers = _headers(
        f"{message.message_id}/{message.attempt}",
        "message.queued",
        "/router",
        account=message.account_id,
        channel=message.channel,
    )
    return Record(topics.OUTBOUND, keys.outbound_key(message), message.to_json(), headers)


def delivery_record(report: AnyDelivery) -> Record:
    """A delivery report or desk post as a record."""
    if isinstance(report, DeliveryUpdated):
        name, account = f"{report.message_id}/{report.attempt}/{report.try_}/{report.state}", report.account_id
    else:
        name, account = f"{report.desk_id}/{report.reference}", None
    return Record(
        topics.DELIVERIES,
        keys.delivery_key(report),
        report.to_json(),
        _headers(name, report.type, "/notifier", account=account),
    )
