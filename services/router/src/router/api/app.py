"""The ASGI app of the router: the REST API under `/v1` and the page at `/`.

Not here: making its parts (the composition root), and running it.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from router.api import attachments, contacts, conversations, me, messages, problems, stream
from router.api.limits import BodyLimit
from router.api.parts import ApiParts
from router.api.problems import ProblemDetails
from router.api.safety import SafeHeaders
from router.page import site
from router.parts import TooManyRounds

__all__ = ["create_app"]

_PROBLEM: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDetails, "description": "A problem, as `application/problem+json`"},
}
_ABOUT = "One conversation timeline a customer, over every channel. Times are RFC 3339 in UTC; errors are problem documents (RFC 9457)."


def _operation(route: APIRoute) -> str:
    return route.name


def create_app(parts: ApiParts) -> FastAPI:
    """The app over `parts`. Whoever runs it starts `parts.feed` before and closes it when stopping, so that streams end."""
    app = FastAPI(
        title="Threadline",
        version="1",
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEM,
        generate_unique_id_function=_operation,
        separate_input_output_schemas=False,
    )
    app.state.parts = parts
    app.state.streams = stream.Streams(parts.streams_a_key)
    problems.install(app, busy=TooManyRounds)
    for module in (me, conversations, contacts, messages, attachments, stream):
        app.include_router(module.router)
    app.include_router(site.router)
    app.add_middleware(BodyLimit, limit=parts.body_limit, upload_limit=parts.upload_limit, upload_path="/v1/attachments")
    app.add_middleware(SafeHeaders)
    return app
