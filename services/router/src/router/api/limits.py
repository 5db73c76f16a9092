"""How much a client may send: bodies are refused by their stated length and by counted bytes, before anything reads them."""

import json

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.api.problems import MEDIA_TYPE, problem_body

__all__ = ["BodyLimit"]


class BodyLimit:
    """ASGI middleware: answers 413 to a body above `limit` bytes, or above `upload_limit` under `upload_path`."""

    def __init__(self, app: ASGIApp, *, limit: int, upload_limit: int, upload_path: str) -> None:
        self._app = app
        self._limit = limit
        self._upload_limit = upload_limit
        self._upload_path = upload_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._upload_limit if scope["path"] == self._upload_path else self._limit
        if _stated_length(scope) > limit:
            await _refuse(send, limit)
            return
        await self._counted(scope, receive, send, limit)

    async def _counted(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        seen = 0

        async def counting_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # the app answers it like any other of its errors; another exception would be taken for a body that cannot be read
                raise HTTPException(413, _detail(limit))
            return message

        await self._app(scope, counting_receive, send)


def _detail(limit: int) -> str:
    return f"The body is larger than {limit} bytes."


def _stated_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _refuse(send: Send, limit: int) -> None:
    body = json.dumps(problem_body(413, "too_large", _detail(limit))).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
