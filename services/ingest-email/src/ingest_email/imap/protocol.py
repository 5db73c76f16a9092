"""aioimaplib's protocol with what it lacks: the empty line a refused XOAUTH2 waits for, and the news that a mailbox grew.

Not here: waiting and time limits (`connection`).
"""

import re

import aioimaplib
from aioimaplib.aioimaplib import IMAP4ClientProtocol

__all__ = ["MailClient"]

_COUNT = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE)\b")


class _Protocol(IMAP4ClientProtocol):  # type: ignore[misc] # aioimaplib has no types
    """Counts the folder's mails wherever the server speaks of them: one announced behind SEARCH is not announced again in IDLE.

    A server that repeats the count with every answer has not announced anything.
    """

    grew = False
    _mails = 0

    def _untagged_response(self, line: bytes) -> object:
        count = _COUNT.match(line)
        if count is not None and count[2] == b"EXPUNGE":
            self._mails -= 1
        elif count is not None:
            self.grew = self.grew or int(count[1]) > self._mails
            self._mails = int(count[1])
        return super()._untagged_response(line)

    def _continuation(self, line: bytes) -> None:
        command = self.pending_sync_command
        if command is not None and command.name == "AUTHENTICATE":
            self.send("")  # the error is in the challenge; the server says NO only after an empty line
        else:
            super()._continuation(line)


class MailClient(aioimaplib.IMAP4):  # type: ignore[misc] # aioimaplib has no types
    """The client; its constructor begins to connect, so it needs a running loop."""

    def create_client(self, host: str, port: int, loop: object, conn_lost_cb: object = None, ssl_context: object = None) -> None:
        """Called by the constructor; as the original, with our protocol."""
        running = aioimaplib.aioimaplib.get_running_loop()
        self.protocol = _Protocol(running, conn_lost_cb)
        self._client_task = running.create_task(running.create_connection(lambda: self.protocol, host, port, ssl=ssl_context))

    @property
    def connecting(self) -> object:
        """The task that connects."""
        return self._client_task
