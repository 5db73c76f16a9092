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

from threadline_runtime.errors import ConfigurationError

__all__ = ["HttpServer"]

_BACKLOG = 2048


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
            http="h11",  # else httptools where it is installed, which knows no bounds and loses a body beside `Upgrade`
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
