"""Where a folder's poller stands, and where it begins: UIDVALIDITY, UID and what is needed when UIDVALIDITY changes. Pure.

Not here: storing (`threadline_connectors.checkpoints`).
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from ingest_email.imap.answers import Mailbox

__all__ = ["Position", "PositionError"]

_RESCAN = timedelta(days=7)
"""How far behind the newest mail a rescan begins. Mails that were published before come again and are duplicates."""


class PositionError(ValueError):
    """A stored position that this version cannot read."""


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `uid` is published or rejected on record.

    Below `old` (the folder's UIDNEXT when this numbering was first seen) only mails of the day `since` or later count,
    and none that came before `floor`: that is how an account starts now or at a date. From `old` on every mail counts.
    `newest` is the latest INTERNALDATE seen; from there a rescan finds its day. `generation` counts how often numbers
    began again that had been used: the same UIDVALIDITY and UID may then be another mail.
    """

    uid_validity: int
    uid: int
    old: int
    since: date | None = None
    floor: datetime | None = None
    newest: datetime | None = None
    generation: int = 0

    def dump(self) -> str:
        """As text for the checkpoint."""
        return _CODEC.dump_json(self).decode()

    @classmethod
    def load(cls, text: str) -> "Position":
        """From a checkpoint; raises PositionError."""
        try:
            return _CODEC.validate_json(text)
        except ValidationError as error:
            raise PositionError("the stored position of this folder cannot be read") from error

    def moved_to(self, uid: int, newest: datetime | None = None) -> "Position":
        """Further along; never back."""
        latest = max((one for one in (self.newest, newest) if one is not None), default=None)
        return replace(self, uid=max(uid, self.uid), newest=latest)

    def wants(self, uid: int, arrived: datetime | None) -> bool:
        """Whether a mail behind this position is to be taken in."""
        return uid > self.uid and (uid >= self.old or self.floor is None or arrived is None or arrived >= self.floor)

    def is_void(self, box: Mailbox) -> bool:
        """Whether the folder's numbers are not those of this position: a new UIDVALIDITY, or UIDs below it that are still to be given."""
        return self.uid_validity != box.uid_validity or (not box.is_uid_next_guessed and box.uid_next <= self.uid)

    def renumbered(self, box: Mailbox) -> "Position":
        """The folder has new UIDs: go through it again from a week before the newest mail seen, but not from before the start.

        Where old mail was still to come, the newest one seen says nothing about it, and all of it comes again.
        """
        start = (self.floor - timedelta(days=1)).astimezone(UTC).date() if self.floor is not None else self.since
        seen = (self.newest - _RESCAN).astimezone(UTC).date() if self.newest is not None else None
        if self.uid + 1 < self.old:
            seen = self.since
        return Position(
            uid_validity=box.uid_validity,
            uid=0,
            old=max(box.uid_next, 1),
            since=max((day for day in (start, seen) if day is not None), default=None),
            floor=self.floor,
            newest=self.newest,
            generation=self.generation + (box.uid_validity <= self.uid_validity),
        )


_CODEC = TypeAdapter(Position)
