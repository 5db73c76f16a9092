"""The HTTP server in our loop: a taken port is one clear line, a cancel lets open requests end, a head without measure is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.http import HttpServer

pytestmark = pytest.mark.integration


async def test_an_open_request_is_answered_before_the_server_ends() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> PlainTextResponse:
        entered.set()
        await go_on.wait()
        return PlainTextResponse("done")

    server = HttpServer.claim("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(Starlette(routes=[Route("/", slow)])))
    port = server.port
    async with httpx.AsyncClient(trust_env=False) as client:
        request = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
        await entered.wait()
        serving.cancel()
        await asyncio.sleep(0)
        go_on.set()
        answer = await request
    assert (answer.text, "server" in answer.headers) == ("done", False)
    with pytest.raises(asyncio.CancelledError):
        await serving
    HttpServer.claim("127.0.0.1", port).close()


async def test_a_taken_port_is_one_clear_line() -> None:
    first = HttpServer.claim("127.0.0.1", 0)
    with pytest.raises(ConfigurationError, match=rf"^port {first.port} is taken: use --ops-port$"):
        HttpServer.claim("127.0.0.1", first.port, option="--ops-port")
    first.close()


async def test_an_address_of_another_machine_is_not_called_a_taken_port() -> None:
    with pytest.raises(ConfigurationError, match="use an address of this machine"):
        HttpServer.claim("192.0.2.1", 0)


async def test_a_host_that_does_not_exist_is_one_clear_line() -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        HttpServer.claim("no.such.host.invalid", 0)


GET = b"GET / HTTP/1.1\r\nHost: here\r\n"
POST = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
MANY = b"x-more: " + b"m" * 1000 + b"\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that answers how long the body was."""

    async def length(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    server = HttpServer.claim("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(Starlette(routes=[Route("/{path:path}", length, methods=["GET", "POST"])])))
    yield server.port
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def said(port: int, parts: Iterable[bytes]) -> bytes:
    """All that is answered until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
        answer = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while more := await reader.read(65536):
                    answer += more
        return answer
    finally:
        writer.close()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([GET, *[MANY] * 70, b"Connection: close\r\n\r\n"], id="headers"),
        pytest.param([GET + b"x-more: ", *[b"m" * 1000] * 400], id="a header without an end"),
        pytest.param([b"GET /", *[b"a" * 1000] * 400], id="a path without an end"),
        pytest.param([POST, b"1\r\na\r\n0\r\n", *[MANY] * 70, b"\r\n"], id="trailers"),
        pytest.param([POST, b"1;", *[b"e" * 1000] * 400], id="an extension of a chunk without an end"),
        pytest.param([b"\x16\x03\x01" * 100], id="no HTTP"),
    ],
)
async def test_a_head_without_measure_ends_the_connection(port: int, parts: list[bytes]) -> None:
    """Nobody makes the process keep more of a request than it has answered for."""
    answer = await said(port, parts)
    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b"", answer[:100]
    assert (await said(port, [GET + b"Connection: close\r\n\r\n"])).endswith(b"0"), "and others are answered"


async def test_a_request_that_offers_another_protocol_keeps_its_body(port: int) -> None:
    """Nor is its body ever taken for a request: what a proxy lets through is what is answered."""
    body = GET + b"Connection: close\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(body)
    for parts in ([head, body], [head + body]):
        answer = await said(port, parts)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.endswith(b"\r\n\r\n%d" % len(body))
