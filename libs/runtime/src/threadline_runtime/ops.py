"""The ops server's application: `/livez`, `/readyz`, `/metrics`. It stands on its own port and never on the public one."""

from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from threadline_runtime.health import Health

__all__ = ["ops_app"]


def ops_app(health: Health, registry: CollectorRegistry) -> Starlette:
    """The application; 200 when all is well, else 503 with every check and its reason."""

    async def livez(_: Request) -> Response:
        return _answer("alive", health.liveness())

    async def readyz(_: Request) -> Response:
        return _answer("ready", await health.readiness())

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


def _answer(word: str, checks: Mapping[str, str | None]) -> Response:
    good = all(reason is None for reason in checks.values())
    body = {word: good, "checks": {name: reason or "ok" for name, reason in checks.items()}}
    return JSONResponse(body, status_code=200 if good else 503)
