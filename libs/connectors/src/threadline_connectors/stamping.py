"""What the host adds to what a provider said: account, brand, times, intake, connector, ids.

Not here: the cut to size (`cutting`) and writing (`publishing`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from threadline_events import ids
from threadline_events.inbound import Attachment, Connector, InboundEvent, Origin, RawPayload
from threadline_events.model import cut_to_millisecond

from threadline_connectors.said import Media, Said

__all__ = ["AHEAD", "Stamp", "stamp"]

AHEAD = timedelta(minutes=5)
"""How far a provider's time may lie after our receipt (P5)."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the host knows of an intake. `received_at` and `intake_id` are None only offline (`threadline parse`)."""

    channel: str
    account_id: str
    brand: str
    origin: Origin
    received_at: datetime | None
    intake_id: str | None
    connector: Connector
    raw: RawPayload | None


def stamp(said: Sequence[Said], by: Stamp) -> tuple[InboundEvent, ...]:
    """The events of one payload, whole; `cutting` makes them fit the bus."""
    return tuple(_event(one, by, index, len(said)) for index, one in enumerate(said))


def _event(said: Said, by: Stamp, index: int, count: int) -> InboundEvent:
    message = said.name.message_id(by.brand, by.channel, by.account_id)
    return InboundEvent(
        event_id=ids.event_id(by.channel, by.account_id, message, said.kind, said.revision_key),
        message_id=message,
        intake_id=by.intake_id,
        intake_index=index,
        intake_count=count,
        kind=said.kind,
        channel=by.channel,
        account_id=by.account_id,
        brand=by.brand,
        external_id=said.external_id,
        native_thread=said.native_thread,
        author=said.author,
        participants=said.participants,
        occurred_at=_occurred_at(said.occurred_at, by.received_at),
        received_at=by.received_at,
        order=said.order,
        origin=by.origin,
        subject=said.subject,
        text=said.text,
        reply_text=said.reply_text,
        quoted_text=said.quoted_text,
        language=said.language,
        parts=said.parts,
        attachments=tuple(_attachment(media) for media in said.media),
        revision=said.revision,
        relates_to=said.relates_to,
        hints=said.hints,
        reply_address=_plain(said.reply_address),
        reply_window_ends_at=said.reply_window_ends_at,
        raw=by.raw,
        connector=by.connector,
        channel_data=_plain(said.channel_data) or {},
    )


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _occurred_at(provider: datetime | None, received_at: datetime | None) -> datetime:
    if received_at is None:
        # Offline there is no receipt to fall back to; a fixed time keeps the output the same on every run.
        return cut_to_millisecond(provider or _EPOCH)
    return cut_to_millisecond(min(provider or received_at, received_at + AHEAD))


def _attachment(media: Media) -> Attachment:
    state = "stored" if media.content is not None else ("pending" if media.source_url is not None else "unavailable")
    return Attachment.model_validate(
        {
            "sha256": media.sha256,
            "size": media.size,
            "media_type": media.media_type,
            "file_name": media.file_name,
            "inline": media.inline,
            "content_id": media.content_id,
            "state": state,
            "source_url": media.source_url,
            "note": media.note,
        }
    )


def _plain(data: Mapping[str, object] | None) -> dict[str, object] | None:
    # Through JSON: a connector's mapping must not reach the bus as anything that JSON cannot say.
    return None if data is None else dict(json.loads(json.dumps(dict(data))))
