"""The API from a terminal: pages are walked, JSON Lines are pure, refusals become statuses, bubbles read well."""

import io
import json
from datetime import UTC, datetime

import httpx
import pytest
from rich.console import Console
from threadline_cli import rendering
from threadline_cli.api_client import ApiClient
from threadline_cli.failures import NoAnswerError
from threadline_cli.output import print_table, table
from threadline_events.inbound import Attachment
from threadline_events.timeline import Conversation, Entry, EntryAuthor
from threadline_runtime.errors import ConfigurationError

URL = "http://127.0.0.1:8080"


def client(answer: httpx.Response | list[httpx.Response], seen: list[httpx.Request] | None = None) -> ApiClient:
    left = list(answer) if isinstance(answer, list) else None

    def handler(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return left.pop(0) if left is not None else answer  # type: ignore[return-value]

    return ApiClient(URL, "tl_key", transport=httpx.MockTransport(handler))


def entry(**changes: object) -> Entry:
    fields: dict[str, object] = {
        "message_id": "m_1",
        "conversation_id": "c_1",
        "strand_id": "c_1",
        "contact_id": "p_1",
        "party": "p_1",
        "direction": "inbound",
        "channel": "email",
        "account_id": "support-mail",
        "brand": "acme",
        "author": EntryAuthor(identity="email:ann@client.test", display_name="Ann Lee", role="customer"),
        "subject": "Where is my order?",
        "text": "Hello",
        "occurred_at": datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
        "received_at": datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
        "order": "1",
        "version": 1,
    }
    return Entry.model_validate(fields | changes)


def drawn(*entries: Entry) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    for line in rendering.timeline_lines(entries, width=100, zone=UTC):
        console.print(line)
    return console.export_text()


def test_pages_are_walked_to_the_end_and_carry_the_cursor() -> None:
    seen: list[httpx.Request] = []
    pages = [httpx.Response(200, json={"items": [{"n": 1}], "next": "more"}), httpx.Response(200, json={"items": [{"n": 2}], "next": None})]
    with client(pages, seen) as api:
        assert [item["n"] for item in api.pages("/v1/conversations", {"status": "open", "brand": None}, limit=10)] == [1, 2]
    assert dict(seen[0].url.params) == {"status": "open", "limit": "10"}
    assert seen[1].url.params["after"] == "more"
    assert seen[0].headers["authorization"] == "Bearer tl_key"


def test_a_limit_stops_the_walk() -> None:
    with client(httpx.Response(200, json={"items": [{"n": 1}], "next": "more"})) as api:
        assert len(list(api.pages("/v1/conversations", {}, limit=3))) == 3


def test_a_reply_carries_its_idempotency_key_and_no_absent_fields() -> None:
    seen: list[httpx.Request] = []
    with client(httpx.Response(202, json={"message_id": "m_9"}), seen) as api:
        api.post("/v1/conversations/c_1/replies", {"text": "Hi", "in_reply_to": None}, idempotency_key="k-1")
    assert seen[0].headers["idempotency-key"] == "k-1"
    assert json.loads(seen[0].content) == {"text": "Hi"}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (httpx.Response(401), ConfigurationError, "API key is not valid"),
        (httpx.Response(403, json={"title": "Forbidden", "detail": "needs scope reply"}), ConfigurationError, "needs scope reply"),
        (httpx.Response(404, json={"title": "Not found", "detail": "no such conversation"}), NoAnswerError, "no such conversation"),
        (httpx.Response(502, text="<html>"), NoAnswerError, "502"),
        (httpx.Response(404, text="Not Found"), ConfigurationError, "check --url"),
        (httpx.Response(200, text="<html>"), ConfigurationError, "check --url"),
    ],
)
def test_refusals_say_what_to_do(answer: httpx.Response, kind: type[Exception], said: str) -> None:
    with client(answer) as api, pytest.raises(kind, match=said):
        api.get("/v1/conversations/c_1")


def test_a_timeline_reads_in_bubbles_with_day_dividers() -> None:
    answer = entry(
        message_id="m_2",
        direction="outbound",
        state="failed",
        state_reason="550 no such user",
        text="It left today.",
        author=EntryAuthor(identity="key:1", display_name="Support", role="agent"),
        occurred_at=datetime(2026, 11, 24, 8, 0, tzinfo=UTC),
    )
    text = drawn(entry(attachments=(Attachment(file_name="photo.png", size=1234),)), answer)
    assert "Monday, 23 November 2026" in text
    assert "Tuesday, 24 November 2026" in text
    assert "Ann Lee" in text
    assert "unverified" in text
    assert "photo.png (1,234 bytes)" in text
    assert "failed: 550 no such user" in text
    assert "m_2 · failed" in text
    left = next(line for line in text.splitlines() if "Ann Lee" in line)
    right = next(line for line in text.splitlines() if "Support" in line)
    assert left.index("Ann") < right.index("Support")


def test_a_long_reason_is_told_to_its_end() -> None:
    reason = "refused by policy (550 5.7.1): see that the account may send as its address, and its SPF, DKIM and DMARC"
    text = drawn(entry(direction="outbound", state="failed", state_reason=reason))
    assert "DMARC" in text


def test_an_id_is_shown_whole_or_not_at_all() -> None:
    console = Console(width=40, record=True, file=io.StringIO())
    for line in rendering.timeline_lines([entry(message_id="m_" + "a" * 26)], width=40, zone=UTC):
        console.print(line)
    assert "aaaa" not in console.export_text()


def test_what_an_agent_did_reads_as_a_sentence() -> None:
    sam = EntryAuthor(identity="key:1", display_name="Sam", role="agent")
    text = drawn(
        entry(direction="internal", kind="retry", text=None, author=sam), entry(direction="internal", kind="assign", text="Kim", author=sam)
    )
    assert "Sam sent a message again · 09:00" in text
    assert "Sam assigned this to Kim · 09:00" in text


def test_a_list_names_the_customer(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    talk = Conversation(
        conversation_id="c_1", brand="acme", contact_id="p_1", status="open", opened_at=at, last_activity_at=at, as_of="x", version=1
    )
    print_table(rendering.conversation_table([rendering.Listed(talk, "Ann \x1b[2JLee")], UTC))
    (_, row) = capsys.readouterr().out.splitlines()
    assert "Ann \N{REPLACEMENT CHARACTER}[2JLee" in row


def test_an_explanation_is_one_line_a_rule() -> None:
    told = {
        "message_id": "m_1",
        "rules": [{"rule": "answers an earlier mail", "saw": "m_0", "decided": True}, {"rule": "author", "saw": "", "decided": False}],
    }
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(rendering.explanation_tree("m_1", told))
    text = console.export_text()
    assert "✓ answers an earlier mail m_0" in text
    assert "· author" in text


def test_a_customers_words_cannot_steer_the_terminal() -> None:
    text = drawn(
        entry(
            text="\x1b[2J[red]wiped[/red]\x07",
            author=EntryAuthor(identity="email:a@b.test", display_name="[bold]A\x1b]0;x", role="customer"),
        )
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]wiped[/red]" in text


def test_a_long_line_is_folded_never_cut() -> None:
    words = [f"word{number}" for number in range(100)]
    text = drawn(entry(text=" ".join(words)))
    assert all(word in text for word in words)


def test_a_subject_stands_where_it_changes() -> None:
    again = entry(message_id="m_2", subject="AW: Re: Where is my order?")
    other = entry(message_id="m_3", subject="Invoice")
    text = drawn(entry(), again, other)
    assert text.count("Where is my order?") == 1
    assert "Invoice" in text


def test_a_table_that_is_piped_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(table(["id", "what"], [("c_1", "a very long subject " * 20 + "[red]end[/red]")]))
    (_, row) = capsys.readouterr().out.splitlines()
    assert row.rstrip().endswith("[red]end[/red]")
