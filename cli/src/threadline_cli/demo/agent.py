"""The demo's agent: answers through the REST API like any desk would. Not here: what is said (`story`)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import httpx
from threadline_events.timeline import Conversation, Entry

__all__ = ["Agent", "StoryError", "within"]

_LOOK_AGAIN_SECONDS = 0.1


class StoryError(Exception):
    """The story did not come to its end; the text says what was waited for."""


class Agent:
    """Reads and writes conversations; waits for what should appear, at most `patience` seconds."""

    def __init__(self, url: str, api_key: str, *, patience: float) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30, trust_env=False)
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def conversation(self, subject: str, brand: str) -> Conversation:
        """The conversation with this subject, once it is there."""
        async with within(self._patience, f"a conversation of {brand} about “{subject}”"):
            while True:
                page = await self._get("/v1/conversations", brand=brand, limit="100")
                for item in page:
                    found = Conversation.model_validate(item)
                    if found.subject == subject:
                        return found
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def entry(self, conversation_id: str, what: str, fits: Callable[[Entry], bool]) -> Entry:
        """The first entry of a conversation that fits, once it is there."""
        async with within(self._patience, what):
            while True:
                for item in await self._get(f"/v1/conversations/{conversation_id}/timeline", limit="200"):
                    entry = Entry.model_validate(item)
                    if fits(entry):
                        return entry
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def reply(self, conversation_id: str, text: str, key: str, *, answered: str | None = None) -> Entry:
        """Answer the message `answered`, or the customer's latest."""
        return await self._post(f"/v1/conversations/{conversation_id}/replies", key, {"text": text, "in_reply_to": answered})

    async def note(self, conversation_id: str, text: str, key: str) -> Entry:
        """Write an internal note."""
        return await self._post(f"/v1/conversations/{conversation_id}/notes", key, {"text": text})

    async def assign(self, conversation_id: str, who: str) -> None:
        """Give it to somebody."""
        await self._change(conversation_id, {"assignee": who})

    async def resolve(self, conversation_id: str) -> None:
        """Mark it as done."""
        await self._change(conversation_id, {"status": "resolved"})

    async def _get(self, path: str, **query: str) -> list[object]:
        response = await self._http.get(path, params=query)
        response.raise_for_status()
        items = response.json()["items"]
        return items if isinstance(items, list) else []

    async def _change(self, conversation_id: str, change: Mapping[str, str]) -> None:
        response = await self._http.patch(f"/v1/conversations/{conversation_id}", json=dict(change))
        response.raise_for_status()

    async def _post(self, path: str, key: str, body: Mapping[str, str | None]) -> Entry:
        response = await self._http.post(path, json=dict(body), headers={"Idempotency-Key": key})
        response.raise_for_status()
        return Entry.model_validate(response.json())


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """A time limit whose end says what was waited for."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise StoryError(f"{what} did not appear within {seconds:.0f} s") from None
