"""Where a stream's reader stands: one offset a partition of the timeline topic, spelled as an opaque event id.

Any replica can go on from it, because it names places on the bus and nothing of the process that wrote it.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from threadline_runtime.bus.port import Position

__all__ = ["Vector", "VectorError"]

_MAX_LENGTH = 8192


class VectorError(ValueError):
    """The text is not a position that we gave."""


@dataclass(frozen=True, slots=True)
class Vector:
    """The last offset seen in each partition of a topic. Missing partitions were empty."""

    topic: str
    offsets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, topic: str, positions: Iterable[Position]) -> "Vector":
        """The vector of `positions`."""
        return cls(topic, {one.partition: one.offset for one in positions})

    @classmethod
    def parse(cls, topic: str, text: str) -> "Vector":
        """The vector spelled by `spell`; raises VectorError."""
        try:
            if len(text) > _MAX_LENGTH:
                raise VectorError("too long")
            plain = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            version, _, rest = plain.partition("|")
            if version != "1":
                raise VectorError("unknown version")
            pairs = [pair.split(":") for pair in rest.split(",") if pair]
            return cls(topic, {int(partition): int(offset) for partition, offset in pairs})
        except (ValueError, binascii.Error) as error:
            raise VectorError("not a position") from error

    def spell(self) -> str:
        """The event id that stands for this place."""
        plain = "1|" + ",".join(f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items()))
        return base64.urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()

    def positions(self) -> tuple[Position, ...]:
        """The places as the bus wants them."""
        return tuple(Position(self.topic, partition, offset) for partition, offset in self.offsets.items())

    def after(self, position: Position) -> "Vector":
        """The vector once `position` was seen too."""
        return Vector(self.topic, {**self.offsets, position.partition: max(position.offset, self.offsets.get(position.partition, -1))})

    def has_seen(self, position: Position) -> bool:
        """Whether `position` lies at or before this place."""
        return position.offset <= self.offsets.get(position.partition, -1)

    def covers(self, other: "Vector") -> bool:
        """Whether everything before `other` lies before this place too."""
        return all(self.offsets.get(partition, -1) >= offset for partition, offset in other.offsets.items())
