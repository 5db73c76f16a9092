"""Serves an ASGI application in our event loop: the port is claimed first, a cancel lets open requests end.

Not here: signals (`lifecycle`), TLS (a proxy's), access logs (a path may hold an address).
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from threadline_runtime.errors import ConfigurationError

__all__ = ["HttpServer"]

_BACKLOG = 2048
_HEAD = 64 * 1024
_PIPELINED = 16


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol on llhttp, bounded: a head of more than 64 KiB, or too many requests at once, end the connection.

    By itself it keeps a line or header of any length, any number of headers, and all requests of a packet.
    """

    _head = 0
    """Bytes of the request line, the headers and the trailers that were parsed."""
    _unparsed = 0
    """Bytes since the last of them, and since the last of the body."""

    def data_received(self, data: bytes) -> None:
        """Parse; nothing is kept of a connection that was ended."""
        if self.transport.is_closing():
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > _HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """A new request."""
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or a trailer."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request begins, or waits for those before it."""
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests at once")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, however long."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of the request."""
        self._unparsed = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._unparsed = 0
        self._head += size
        if self._head > _HEAD:
            raise ValueError("the head of the request is too long")  # `data_received` answers 400


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class HttpServer:
    """A port that was claimed; `serve` answers on it until cancelled."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    @classmethod
    def claim(cls, host: str, port: int, *, option: str = "--port") -> "HttpServer":
        """Bind the port (0: any free one); raises ConfigurationError naming the `option` that chooses another."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}: {error.strerror}") from error
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except PermissionError as error:
            listener.close()
            raise ConfigurationError(f"port {port} needs more rights: use {option} with one above 1023") from error
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(f"cannot listen on {host}: {error.strerror}: use an address of this machine") from error
            raise ConfigurationError(f"port {port} is taken: use {option}") from error
        listener.setblocking(False)
        return cls(listener)

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._listener.getsockname()[1])

    async def serve(self, app: ASGIApp, *, grace: float = 5.0) -> None:
        """Answer until cancelled; then take no new requests and give open ones `grace` seconds (streams are cut)."""
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        server = _Server(config)
        work = asyncio.create_task(server.serve(sockets=[self._listener]))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            server.should_exit = True
            await work
            raise
        finally:
            self._listener.close()

    def close(self) -> None:
        """Give up a port that was never served."""
        self._listener.close()
