"""An intake: one authenticated payload taken in, as a record of `threadline.intakes.v1`.

The record's value is the payload's own bytes; who, when and how many events stand in the headers.
"""

from dataclasses import dataclass
from datetime import datetime

from threadline_events.inbound import Origin

__all__ = ["Intake"]


@dataclass(frozen=True, slots=True)
class Intake:
    """One authenticated payload. `raw` is empty where `blob` names it; with no event it carries its own outcome and reason."""

    intake_id: str
    event_count: int
    channel: str
    account_id: str
    brand: str
    received_at: datetime
    origin: Origin
    media_type: str
    raw: bytes
    blob: str | None = None
    outcome: str | None = None
    reason: str | None = None
