"""`conversations`, `timeline`, `reply`, `note`, `explain`: the API from a terminal."""

import sys
import uuid
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal
from urllib.parse import quote

import typer
from threadline_events.timeline import Conversation, Entry

from threadline_cli.api_client import DEFAULT_URL, ApiClient
from threadline_cli.options import ApiKeyOption, JsonOption, UrlOption, example
from threadline_cli.output import JsonObject, notes, print_json_line, print_table, say, screen
from threadline_cli.rendering import Listed, conversation_table, explanation_tree, timeline_lines

__all__ = ["register"]

ConversationArgument = Annotated[str, typer.Argument(metavar="ID", help="A conversation id (c_...).", show_default=False)]
TextArgument = Annotated[str, typer.Argument(metavar="TEXT", help="What to write; `-` reads standard input.", show_default=False)]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command(epilog=example("threadline conversations --status open --channel email"))(conversations)
    app.command(epilog=example("threadline timeline c_4kq2..."))(timeline)
    app.command(
        epilog=example('threadline reply c_4kq2... "It left our house this morning."', "threadline reply c_4kq2... - < answer.txt")
    )(reply)
    app.command(epilog=example('threadline note c_4kq2... "Third time this month."'))(note)
    app.command(epilog=example("threadline explain m_7h3a..."))(explain)


def conversations(
    status: Annotated[Literal["open", "snoozed", "resolved"] | None, typer.Option(help="Only in this status.")] = None,
    brand: Annotated[str | None, typer.Option(help="Only this brand.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only with this channel.")] = None,
    search: Annotated[str | None, typer.Option("--search", "-q", metavar="WORDS", help="Search in subjects, texts and addresses.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = DEFAULT_URL,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List conversations, newest activity first."""
    with ApiClient(url, api_key) as api:
        query = {"status": status, "brand": brand, "channel": channel, "q": search}
        found = api.pages("/v1/conversations", query, limit=limit)
        if as_json:
            _print_lines(found)
            return
        rows = [Listed(Conversation.model_validate(item), _customer(item)) for item in found]
    if rows:
        print_table(conversation_table(rows))
    else:
        notes().print("no conversations")


def timeline(
    conversation_id: ConversationArgument,
    limit: LimitOption = 1000,
    url: UrlOption = DEFAULT_URL,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a conversation's newest entries as it reads, oldest of them first."""
    with ApiClient(url, api_key) as api:
        path = f"/v1/conversations/{_segment(conversation_id)}/timeline"
        newest_first = list(api.pages(path, {"order": "desc"}, limit=limit))
    if as_json:
        _print_lines(reversed(newest_first))
        return
    console = screen()
    entries = [Entry.model_validate(item) for item in reversed(newest_first)]
    for line in timeline_lines(entries, width=console.width):
        console.print(line)


def reply(
    conversation_id: ConversationArgument,
    text: TextArgument,
    in_reply_to: Annotated[
        str | None, typer.Option(metavar="MESSAGE_ID", help="The message to answer (default: the customer's latest).")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer the customer on the channel the message came from."""
    with ApiClient(url, api_key) as api:
        path = f"/v1/conversations/{_segment(conversation_id)}/replies"
        entry = api.post(path, {"text": _text(text), "in_reply_to": in_reply_to}, idempotency_key=str(uuid.uuid4()))
    _print_entry(entry, as_json=as_json, done="accepted")


def note(
    conversation_id: ConversationArgument,
    text: TextArgument,
    url: UrlOption = DEFAULT_URL,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an internal note; it never goes to the customer."""
    with ApiClient(url, api_key) as api:
        path = f"/v1/conversations/{_segment(conversation_id)}/notes"
        entry = api.post(path, {"text": _text(text)}, idempotency_key=str(uuid.uuid4()))
    _print_entry(entry, as_json=as_json, done="noted")


def explain(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="A message id (m_...).", show_default=False)],
    url: UrlOption = DEFAULT_URL,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which rule and which inputs put a message where it is."""
    with ApiClient(url, api_key) as api:
        told = api.get(f"/v1/messages/{_segment(message_id)}/explain")
    if as_json:
        print_json_line(told)
        return
    screen().print(explanation_tree(message_id, told))


def _customer(item: JsonObject) -> str:
    contact = item.get("contact")
    if not isinstance(contact, Mapping):
        return ""
    return str(contact.get("display_name") or str(contact.get("identity") or "").partition(":")[2])


def _segment(identifier: str) -> str:
    return quote(identifier, safe="")


def _text(given: str) -> str:
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        raise typer.BadParameter("there is no text to send", param_hint="TEXT")
    return text


def _print_lines(items: Iterable[JsonObject]) -> None:
    for item in items:
        print_json_line(item)


def _print_entry(entry: JsonObject, *, as_json: bool, done: str) -> None:
    if as_json:
        print_json_line(entry)
        return
    state = f" ({entry['state']})" if entry.get("state") else ""
    say(f"{done} {entry.get('message_id')}{state}")
