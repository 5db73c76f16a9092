"""The router's own look into its books, again an hour after each: it audits the last day, shows what is missing as a metric and in the log.

Any number of routers may look at once. Not here: the counting (`audit`), and looking further back (`threadline audit`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from threadline_runtime.metrics import Metrics

from router.audit import AccountAudit, Audit, AuditReport

__all__ = ["SelfCheck"]

_REACH = timedelta(days=1)
_EVERY_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0
_REST_TIMES = 9
_LONGEST_REST_SECONDS = 30.0
_HURRY_SECONDS = 1800.0
_log = structlog.stdlib.get_logger("threadline.router")


class _Pace:
    """After each page the database is left to others for nine times as long as the page took; where that takes half an hour, once as long.

    So a slow one is asked the less, and a look ends all the same.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]], clock: Callable[[], float]) -> None:
        self._sleep = sleep
        self._clock = clock
        self._begun = self._since = clock()

    async def rest(self) -> None:
        """Wait after a page."""
        now = self._clock()
        times = _REST_TIMES if now - self._begun < _HURRY_SECONDS else 1
        await self._sleep(min(_LONGEST_REST_SECONDS, times * (now - self._since)))
        self._since = self._clock()


class SelfCheck:
    """Looks now and then, and never at full speed."""

    def __init__(
        self,
        audit: Audit,
        metrics: Metrics,
        now: Callable[[], datetime],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._audit = audit
        self._metrics = metrics
        self._now = now
        self._sleep = sleep
        self._clock = clock

    async def run(self) -> None:
        """Look until cancelled; whatever fails, the last answer stands, for that is no loss, and nothing else of the router ends."""
        while True:
            try:
                await self.look()
            except Exception as error:
                _log.warning("the books cannot be read now", exc_info=error)
                await self._sleep(_AGAIN_SECONDS)
            else:
                await self._sleep(_EVERY_SECONDS)

    async def look(self) -> AuditReport:
        """Audit once."""
        now = self._now()
        report = await self._audit.run(now, since=now - _REACH, rest=_Pace(self._sleep, self._clock).rest)
        self._metrics.audit_missing.set(report.missing)
        for each in report.accounts:
            _tell(each)
        return report


def _tell(account: AccountAudit) -> None:
    if account.missing:
        _log.error("events have no outcome: `threadline audit` tells more", account=account.account_id, count=account.missing)
    if account.unjournalled:
        _log.error("no intake explains some entries: `threadline audit` tells more", account=account.account_id, count=account.unjournalled)
    for lost in account.lost:
        intake, _, index = lost.rpartition("/")
        _log.error("an event is missing", account=account.account_id, intake_id=intake, intake_index=index)
