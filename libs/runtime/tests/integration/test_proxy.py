"""The proxy of fault tests does what it says, or the fault tests would prove nothing."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from threadline_runtime.testing.ports import LOOPBACK
from threadline_runtime.testing.proxy import TcpProxy

pytestmark = pytest.mark.integration


class Echo:
    """Gives back what it gets; counts the bytes that reached it."""

    def __init__(self) -> None:
        self._door = socket.create_server((LOOPBACK, 0))
        self.port = int(self._door.getsockname()[1])
        self.got = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._door.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            while data := line.recv(65536):
                self.got += data
                line.sendall(data)
        except OSError:
            pass
        line.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[TcpProxy]:
    with TcpProxy(echo.port) as running:
        yield running


def client(proxy: TcpProxy, timeout: float = 20.0) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=timeout)


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_silent(line: socket.socket) -> bool:
    line.settimeout(0.2)
    try:
        return line.recv(1) == b"never"
    except TimeoutError:
        return True
    finally:
        line.settimeout(20)


def is_reset(line: socket.socket) -> bool:
    try:
        while line.recv(1) == b"":
            line.sendall(b"x")
    except ConnectionError:
        return True
    return False


def test_everything_passes_both_ways(proxy: TcpProxy) -> None:
    with client(proxy) as line:
        line.sendall(b"x" * 300_000)
        got = b""
        while len(got) < 300_000:
            got += line.recv(65536)
        assert got == b"x" * 300_000


def test_a_cut_resets_what_is_open_and_refuses_what_is_new_until_it_heals(proxy: TcpProxy) -> None:
    with client(proxy) as line:
        line.sendall(b"1")
        assert line.recv(1) == b"1"
        proxy.cut()
        assert is_reset(line)
    with client(proxy) as line:
        assert is_reset(line)
    proxy.heal()
    with client(proxy) as line:
        line.sendall(b"4")
        assert line.recv(1) == b"4"


def test_what_is_held_on_the_way_back_has_reached_the_server_and_comes_after_healing(proxy: TcpProxy, echo: Echo) -> None:
    with client(proxy) as line:
        proxy.hold(down=True)
        line.sendall(b"1")
        until(lambda: echo.got == b"1")
        assert is_silent(line)
        proxy.heal()
        assert line.recv(1) == b"1"


def test_what_is_held_on_the_way_there_has_not_reached_the_server(proxy: TcpProxy, echo: Echo) -> None:
    with client(proxy) as line:
        proxy.hold(up=True)
        line.sendall(b"1")
        assert is_silent(line)
        assert echo.got == b""
        proxy.heal()
        assert line.recv(1) == b"1"


def test_a_client_of_a_half_open_connection_is_told_nothing_until_it_heals(proxy: TcpProxy) -> None:
    with client(proxy) as line:
        line.sendall(b"1")
        assert line.recv(1) == b"1"
        proxy.half_open()
        line.sendall(b"2")
        assert is_silent(line)
        proxy.heal()
        assert is_reset(line)


def test_slow_is_late(proxy: TcpProxy) -> None:
    with client(proxy) as line:
        proxy.slow(delay=0.3)
        line.sendall(b"1")
        assert is_silent(line)
        assert line.recv(1) == b"1"
