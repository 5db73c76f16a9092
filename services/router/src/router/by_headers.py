"""What became of a record, told by its headers alone: of one that nobody can read there is nothing else.

Not here: recording it (`recording`).
"""

from datetime import datetime

from threadline_runtime.bus.port import Received

from router.domain.documents import IntakeRef
from router.store.port import Outcome, OutcomeName

__all__ = ["outcome_by_headers"]

# A foreign record may claim any number; one that no store can hold would make its outcome fail for ever.
_INDEX_DIGITS = 9


def outcome_by_headers(record: Received, what: OutcomeName, reason: str, at: datetime) -> Outcome | None:
    """The outcome of the record's event; None where it belongs to no intake."""
    intake, index = _header(record, "ce_intakeid"), _header(record, "ce_intakeindex")
    if not intake or not index.isdecimal() or len(index) > _INDEX_DIGITS:
        return None
    event, account, channel = (_header(record, name) for name in ("ce_id", "ce_account", "ce_channel"))
    return Outcome(IntakeRef(intake_id=intake, index=int(index)), event, account, channel, what, reason, at)


def _header(record: Received, name: str) -> str:
    return record.headers.get(name, b"").decode("utf-8", "replace")
