"""A TCP proxy on loopback in a thread of its own, between a client and a server: cut, held, slowed, half open, healed.

What is held is delivered after `heal`, as TCP would deliver what the network dropped for a while; only a cut loses it.
Not here: what goes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass, replace

from threadline_runtime.testing.ports import LOOPBACK, free_port

_CHUNK = 64 * 1024
_LOOK_AGAIN_SECONDS = 0.02

__all__ = ["TcpProxy"]


@dataclass(frozen=True, slots=True)
class _Weather:
    """`up` is the way from the client to the server, `down` the way back."""

    refused: bool = False
    hold_up: bool = False
    hold_down: bool = False
    delay: float = 0.0
    bytes_per_second: float | None = None


class TcpProxy:
    """Listens on `port` and hands everything to `target` and back. Use it as a context manager."""

    def __init__(self, target: int, port: int | None = None) -> None:
        self.port = port or free_port()
        self._target = target
        self._weather = _Weather()
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, LOOPBACK, self.port), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._loop.call_soon_threadsafe(self._server.close)
        self.cut()
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._lines)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._weather = replace(self._weather, refused=True)
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    def reset(self) -> None:
        """Reset every connection; new ones are taken."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    def hold(self, *, up: bool = False, down: bool = False) -> None:
        """Let nothing pass on the ways named; connections stay open and new ones are taken. Both: a black hole."""
        self._weather = replace(self._weather, hold_up=up, hold_down=down)

    def slow(self, *, delay: float = 0.0, bytes_per_second: float | None = None) -> None:
        """Pass every piece so many seconds later, and no more than so many bytes a second on each way of a connection."""
        self._weather = replace(self._weather, delay=delay, bytes_per_second=bytes_per_second)

    def half_open(self) -> None:
        """Drop the server's side of every connection; clients are told nothing."""
        asyncio.run_coroutine_threadsafe(self._half_open(), self._loop).result(10)

    def heal(self) -> None:
        """Pass everything again. A connection that was left half open is reset, as a host does that no longer knows it."""
        self._weather = _Weather()

        async def forget() -> None:
            for line in [line for line in self._lines if line.half]:
                line.reset()

        asyncio.run_coroutine_threadsafe(forget(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.refused:
            writer.transport.abort()
            return
        try:
            beyond_reader, beyond_writer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, beyond_writer)
        self._lines.add(line)
        try:
            await asyncio.gather(
                self._pass_on(line, reader, beyond_writer, is_up=True), self._pass_on(line, beyond_reader, writer, is_up=False)
            )
        finally:
            line.reset()
            self._lines.discard(line)

    async def _pass_on(self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool) -> None:
        """One way of one connection to its end."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._weather_passes(len(data), is_up=is_up)
                writer.write(data)
                await writer.drain()
        if line.half:
            await line.over.wait()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _weather_passes(self, size: int, *, is_up: bool) -> None:
        began = time.monotonic()
        while True:
            weather = self._weather
            held = weather.hold_up if is_up else weather.hold_down
            seconds = weather.delay + (size / weather.bytes_per_second if weather.bytes_per_second else 0)
            if not held and time.monotonic() - began >= seconds:
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _reset(self) -> None:
        for line in list(self._lines):
            line.reset()

    async def _half_open(self) -> None:
        for line in self._lines:
            line.half = True
            line.beyond.transport.abort()

    async def _ended(self) -> None:
        """Wait until every connection has gone."""
        while self._lines:  # noqa: ASYNC110 - only the tests' end waits here
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


class _Line:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, beyond: asyncio.StreamWriter) -> None:
        self.near = near
        self.beyond = beyond
        self.half = False
        self.over = asyncio.Event()

    def reset(self) -> None:
        """Drop both sides at once."""
        self.over.set()
        self.near.transport.abort()
        self.beyond.transport.abort()
