"""A process under test that serves the REST API (`threadline up`, a router alone), with a client for what tests ask of it."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import httpx
from threadline_events.timeline import Conversation, Entry
from threadline_runtime.testing.ports import LOOPBACK, free_ports

from threadline_cli.testing.own_process import FIRST_KEY, OwnProcess

__all__ = ["ServedApi"]


class ServedApi(OwnProcess):
    """It works when its API answers."""

    def __init__(self, log: Path, env: Mapping[str, str]) -> None:
        self.port, ops_port = free_ports(2)
        super().__init__(log, ops_port, env)
        self.api = httpx.Client(
            base_url=f"http://{LOOPBACK}:{self.port}", headers={"Authorization": f"Bearer {FIRST_KEY}"}, timeout=30, trust_env=False
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self.api.close()

    def wait_until_up(self) -> None:
        """Wait until it serves, after a start that did not wait."""
        self.until("the API to answer", self._answers)

    def conversations(self, **query: str) -> list[Conversation]:
        """The list of conversations."""
        return [Conversation.model_validate(item) for item in self._items("/v1/conversations", query)]

    def timeline(self, conversation_id: str) -> list[Entry]:
        """A conversation's entries."""
        return [Entry.model_validate(item) for item in self._items(f"/v1/conversations/{conversation_id}/timeline", {})]

    def reply(self, conversation_id: str, text: str, *, key: str) -> Entry:
        """Answer the customer."""
        answer = self.api.post(f"/v1/conversations/{conversation_id}/replies", json={"text": text}, headers={"Idempotency-Key": key})
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"the reply was not accepted: {answer.status_code} {answer.text}")
        return Entry.model_validate(answer.json())

    def conversation_with(self, text: str, within: float = 20.0) -> Conversation:
        """The conversation with an entry that says `text`, once it is there."""

        def look() -> Conversation | None:
            for conversation in self.conversations():
                if any(text in (entry.text or "") for entry in self.timeline(conversation.conversation_id)):
                    return conversation
            return None

        return self.until(f"a conversation that says {text!r}", look, within)

    def entry_with(self, conversation_id: str, text: str, within: float = 20.0) -> Entry:
        """The entry of a conversation that says `text`, once it is there."""

        def look() -> Entry | None:
            return next((entry for entry in self.timeline(conversation_id) if text in (entry.text or "")), None)

        return self.until(f"an entry of {conversation_id} that says {text!r}", look, within)

    def _answers(self) -> bool:
        try:
            return self.api.get("/v1/conversations").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _items(self, path: str, query: Mapping[str, str]) -> list[object]:
        items: list[object] = []
        asked = {"limit": "100", **query}
        while True:
            answer = self.api.get(path, params=asked)
            answer.raise_for_status()
            page = answer.json()
            items += page["items"]
            if not page["next"]:
                return items
            asked["after"] = page["next"]
