"""Problem details (RFC 9457): every error of the API is one of these, as `application/problem+json`.

Not here: which error means which answer for a command's refusal (`refusals`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from threadline_runtime.errors import TransientError

__all__ = ["MEDIA_TYPE", "Problem", "ProblemDetails", "install", "not_found", "problem_body"]

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "No valid API key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "Not valid",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available now",
}


class ProblemDetails(BaseModel):
    """The body of every error. `code` is the stable name that a program may test for."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, Any]] | None = None


class Problem(Exception):  # noqa: N818 - the RFC's word
    """An error that is answered as it stands; `detail` is one sentence that says what to do."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def not_found(what: str) -> Problem:
    """A thing that is not there, or that the key may not know of: both look alike."""
    return Problem(404, "not_found", f"There is no such {what}, or this key may not see it.")


def problem_body(status: int, code: str, detail: str, errors: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The members of a problem document."""
    body: dict[str, Any] = {
        "type": f"urn:threadline:problem:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = list(errors)
    return body


_PLAINER = {"model_attributes_type": "send a JSON object, with `Content-Type: application/json`"}
"""What the validator says in its own words, in those of whoever calls the API."""


def _response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, status_code=int(body["status"]), headers=dict(headers or {}), media_type=MEDIA_TYPE)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return _response(problem_body(error.status, error.code, error.detail), error.headers)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # `input` and `ctx` are left out: they hold what a person wrote
    errors = [
        {"at": ".".join(str(step) for step in one["loc"]), "message": _PLAINER.get(one["type"], one["msg"]), "kind": one["type"]}
        for one in error.errors()
    ]
    first = errors[0] if errors else {"at": "body", "message": "not valid"}
    return _response(problem_body(422, "invalid", f"{first['at']}: {first['message']}", errors))


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
    detail = str(error.detail) if error.detail else _TITLES.get(error.status_code, "Error")
    return _response(problem_body(error.status_code, codes.get(error.status_code, "error"), detail), error.headers)


async def _on_transient(_: Request, error: Exception) -> JSONResponse:
    return _response(problem_body(503, "unavailable", "A part behind the API cannot be used now: try again."), {"Retry-After": "2"})


async def _on_unexpected(_: Request, error: Exception) -> JSONResponse:
    return _response(problem_body(500, "internal", "Something went wrong here; the log of the server says what."))


def install(app: FastAPI, *, busy: type[Exception]) -> None:
    """Make `app` answer every error as a problem document; `busy` is what passes when it is tried again."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(TransientError, _on_transient)
    app.add_exception_handler(busy, _on_transient)
    app.add_exception_handler(Exception, _on_unexpected)
