"""Conservation (P3): intakes joined with outcomes, and what we sent, per account. Reads only; works beside a running process.

Memory does not grow with the number of intakes. Not here: printing (the CLI), and any code of the pipeline.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from threadline_events import topics
from threadline_runtime.bus.port import Bus

from router.store.port import JournalRow, JournalStore, SentCounts, TimelineStore

__all__ = ["AUDIT_REACH", "AccountAudit", "Audit", "AuditReport"]

AUDIT_REACH = timedelta(days=90)
_PATIENCE = timedelta(minutes=10)
_NAMED = 20


@dataclass(slots=True)
class AccountAudit:
    """One account's numbers. `outcomes` by name, with the reason in brackets. `lost` names some of the missing (intake/index)."""

    account_id: str
    intakes: int = 0
    events: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    missing: int = 0
    unjournalled: int = 0
    lost: list[str] = field(default_factory=list)
    sent: SentCounts = field(default_factory=SentCounts)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The audit's answer."""

    accounts: tuple[AccountAudit, ...]

    @property
    def missing(self) -> int:
        """Events without an outcome, and events that no journalled intake explains. Anything but 0 is a loss."""
        return sum(a.missing + a.unjournalled for a in self.accounts)


@dataclass(frozen=True, slots=True)
class _Horizon:
    """Until when an event without an outcome may still be on its way."""

    now: datetime
    oldest: datetime | None

    def may_be_on_its_way(self, received_at: datetime) -> bool:
        recent = self.now - received_at < _PATIENCE
        return recent or (self.oldest is not None and self.oldest <= received_at + _PATIENCE)


async def _no_rest() -> None:
    """Read on at once."""


class Audit:
    """Joins journal, outcomes and entries."""

    def __init__(self, journal: JournalStore, timeline: TimelineStore, bus: Bus, groups: Mapping[str, str]) -> None:
        """`groups`: topic to the group that works it off (inbound, commands and intakes)."""
        self._journal = journal
        self._timeline = timeline
        self._bus = bus
        self._groups = groups

    async def run(
        self,
        now: datetime,
        *,
        account_id: str | None = None,
        since: datetime | None = None,
        rest: Callable[[], Awaitable[None]] = _no_rest,
    ) -> AuditReport:
        """Audit everything received since a time (at most 90 days back). `rest` is awaited after each page that was read."""
        start = max(since or now - AUDIT_REACH, now - AUDIT_REACH)
        # Progress is read first: what was passed then has its outcome, or stands in the journal, by now.
        horizon = _Horizon(now, await self._oldest_unprocessed(topics.INBOUND, topics.COMMANDS))
        unwritten = await self._oldest_unprocessed(topics.INTAKES)
        accounts: dict[str, AccountAudit] = {}
        async for page in self._journal.audited(start, now, account_id):
            for row in page:
                _count(accounts.setdefault(row.account_id, AccountAudit(row.account_id)), row, horizon)
            await rest()
        settled = min(now, unwritten or now) - _PATIENCE
        async for found in self._journal.unjournalled(start, settled, account_id):
            for account, count in found.items():
                accounts.setdefault(account, AccountAudit(account)).unjournalled += count
            await rest()
        for account, counts in (await self._timeline.sent_counts(start, account_id)).items():
            accounts.setdefault(account, AccountAudit(account)).sent = counts
        return AuditReport(tuple(accounts[a] for a in sorted(accounts)))

    async def _oldest_unprocessed(self, *names: str) -> datetime | None:
        found = [part.oldest_unprocessed for topic in names for part in await self._bus.progress(self._groups[topic], [topic])]
        return _earliest(found)


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((m for m in moments if m is not None), default=None)


def _count(account: AccountAudit, row: JournalRow, horizon: _Horizon) -> None:
    account.intakes += 1
    account.events += row.event_count
    if row.event_count == 0:
        name = row.outcome or "ignored"
        account.outcomes[f"{name}({row.reason})" if row.reason else name] += 1
    for index in range(row.event_count):
        outcome = row.event_outcomes.get(index)
        if outcome is not None:
            account.outcomes[outcome] += 1
        elif horizon.may_be_on_its_way(row.received_at):
            account.pending += 1
        else:
            account.missing += 1
            if len(account.lost) < _NAMED:
                account.lost.append(f"{row.intake_id}/{index}")
