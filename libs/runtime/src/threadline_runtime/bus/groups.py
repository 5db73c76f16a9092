"""How the consumers of one group in one process share partitions: each partition has one owner, who gives it up between batches.

Pure bookkeeping in the event loop's thread. Not here: offsets and records.
"""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Group", "Member"]

P = TypeVar("P", bound=Hashable)


@dataclass(eq=False, slots=True)
class Member(Generic[P]):
    """One consumer: what it subscribes to, and the event that wakes it."""

    wants: Sequence[P]
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Group(Generic[P]):
    """The members of a group and who owns which partition now."""

    def __init__(self) -> None:
        self._members: list[Member[P]] = []
        self._owners: dict[P, Member[P]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Member[P]) -> None:
        """A consumer comes; the others are woken to give up its share."""
        self._members.append(member)
        self._wake_all()

    def leave(self, member: Member[P]) -> None:
        """A consumer goes, after its last batch; what it owned is free."""
        self._members.remove(member)
        self._owners = {part: owner for part, owner in self._owners.items() if owner is not member}
        self._wake_all()

    def share(self, member: Member[P]) -> frozenset[P]:
        """Between two batches: give up what is another's now, take what is ours and free; all that is owned then."""
        mine = {part for part in member.wants if self._target(part) is member}
        released = [part for part, owner in self._owners.items() if owner is member and part not in mine]
        for part in released:
            del self._owners[part]
        if released:
            self._wake_all()
        for part in mine:
            self._owners.setdefault(part, member)
        return frozenset(part for part in mine if self._owners[part] is member)

    def _target(self, part: P) -> Member[P]:
        able = [member for member in self._members if part in member.wants]
        return able[able[0].wants.index(part) % len(able)]

    def _wake_all(self) -> None:
        for member in self._members:
            member.wake.set()
