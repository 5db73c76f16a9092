"""Serves the page at `/`, its files below `/page/`, and the API's documents at `/v1/docs`.

The files are read from the package as they are; the policy lets the browser run only these and talk only to us.
"""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

__all__ = ["POLICY", "router"]

router = APIRouter(include_in_schema=False)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _served(request: Request, name: str) -> Response:
    suffix = name[name.rfind(".") :]
    source = files("router.page") / "static" / name
    if suffix not in _TYPES or "/" in name or not source.is_file():
        raise HTTPException(404)
    data = source.read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=_TYPES[suffix] + "; charset=utf-8", headers=headers)


@router.get("/")
def get_page(request: Request) -> Response:
    """The page."""
    return _served(request, "index.html")


@router.get("/page/{name}")
def get_file(request: Request, name: str) -> Response:
    """A file of the page."""
    return _served(request, name)


@router.get("/v1/docs")
def get_docs(request: Request) -> Response:
    """The API's documents, drawn from `/v1/openapi.json` without anything from elsewhere."""
    return _served(request, "docs.html")
