"""The HTTP server in our loop: a taken port is one clear line, a cancel lets open requests end."""

import asyncio

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
