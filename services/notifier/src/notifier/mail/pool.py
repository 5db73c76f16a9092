"""An account's SMTP connections, kept for the next mail for as long as servers bear it.

Not here: how many mails are under way at once; the dispatcher bounds that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from notifier.mail.smtp import SmtpServer, SmtpSession

__all__ = ["SmtpPool"]

_IDLE_SECONDS = 60.0
_MAILS = 50


class SmtpPool:
    """Hands out logged-in connections. A connection is given up after 60 idle seconds or 50 mails."""

    def __init__(self, server: SmtpServer, clock: Callable[[], float]) -> None:
        self._server = server
        self._clock = clock
        self._idle: list[tuple[float, SmtpSession]] = []
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[SmtpSession]:
        """A connection for one mail; it comes back by itself if it still stands."""
        session = await self._take()
        try:
            yield session
        finally:
            if session.is_connected and session.mails < _MAILS:
                self._idle.append((self._clock(), session))
                asyncio.get_running_loop().call_later(_IDLE_SECONDS + 1, self._drop_idle)
            else:
                self._let_go(session)

    async def close(self) -> None:
        """Close every idle connection."""
        for _, session in self._idle:
            self._let_go(session)
        self._idle.clear()
        if self._closing:
            await asyncio.gather(*self._closing)

    async def _take(self) -> SmtpSession:
        self._drop_idle()
        while self._idle:
            _, session = self._idle.pop()
            if await session.is_alive():
                return session
            self._let_go(session)
        return await self._open()

    async def _open(self) -> SmtpSession:
        return await SmtpSession.open(self._server)

    def _drop_idle(self) -> None:
        now = self._clock()
        kept = [(since, session) for since, session in self._idle if now - since < _IDLE_SECONDS]
        for since, session in self._idle:
            if now - since >= _IDLE_SECONDS:
                self._let_go(session)
        self._idle = kept

    def _let_go(self, session: SmtpSession) -> None:
        # Not awaited by the sender: a server that is slow to say good-bye must not hold up the next mail.
        task = asyncio.get_running_loop().create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
