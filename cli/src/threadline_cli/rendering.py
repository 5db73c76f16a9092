"""How conversations read on a terminal: a table, bubbles with day dividers, a tree of reasons. Pure: values in, renderables out."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo

from rich.align import Align
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from threadline_events.timeline import Conversation, Entry

from threadline_cli.output import JsonObject, table

__all__ = ["conversation_table", "entry_bubble", "explanation_tree", "local_time", "safe", "timeline_lines"]

_STATUS_STYLE = {"open": "green", "snoozed": "yellow", "resolved": "dim"}
_STATE_STYLE = {"failed": "bold red", "uncertain": "bold yellow", "sent": "green", "delivered": "green", "read": "cyan"}
_BORDER = {"inbound": "cyan", "outbound": "green", "internal": "yellow"}
_WIDEST_BUBBLE = 76


def local_time(moment: datetime, zone: tzinfo | None = None) -> str:
    """A time for people, in `zone` (default: the terminal's)."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def safe(text: str) -> str:
    """A customer's words must not move the cursor or recolour the terminal."""
    return "".join(character if character in "\n\t" or character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def conversation_table(conversations: Sequence[Conversation], zone: tzinfo | None = None) -> Table:
    """One row a conversation."""
    rows = [
        (
            each.conversation_id,
            Text(each.status, style=_STATUS_STYLE[each.status]),
            local_time(each.last_activity_at, zone),
            each.brand,
            ", ".join(each.channels),
            safe(each.subject or "(no subject)"),
            safe(each.assignee or ""),
        )
        for each in conversations
    ]
    columns = ["conversation", "status", "last activity", "brand", "channels", "subject", "assignee"]
    return table(columns, rows, whole=columns[:4])


def timeline_lines(entries: Iterable[Entry], *, width: int, zone: tzinfo | None = None) -> Iterator[RenderableType]:
    """The entries as bubbles: the customer left, us right, notes between; a divider where a new day begins."""
    day, subject = None, ""
    for entry in entries:
        moment = entry.occurred_at.astimezone(zone)
        if moment.date() != day:
            day = moment.date()
            yield Rule(moment.strftime("%A, %-d %B %Y"), style="dim")
        topic = _topic(entry)
        yield entry_bubble(entry, width=width, zone=zone, with_subject=topic != subject)
        subject = topic


def _topic(entry: Entry) -> str:
    """The subject without what mail clients put before it."""
    return re.sub(r"^(\s*(re|aw|sv|antw|fwd?|wg)\s*:)+\s*", "", entry.subject or "", flags=re.IGNORECASE)


def entry_bubble(entry: Entry, *, width: int, zone: tzinfo | None = None, with_subject: bool = True) -> RenderableType:
    """One entry: who and when above, what was said within, the state below."""
    if entry.direction == "internal" and entry.kind != "note":
        return Align.center(Text(f"{_said(entry)} · {_clock(entry, zone)}", style="dim"))
    panel = Panel(
        Group(*_contents(entry, with_subject=with_subject)),
        title=_heading(entry, zone),
        title_align="left",
        subtitle=_footing(entry),
        subtitle_align="right",
        border_style=_BORDER[entry.direction],
        width=max(20, min(_WIDEST_BUBBLE, width * 4 // 5)),
    )
    return Align(panel, {"inbound": "left", "outbound": "right"}.get(entry.direction, "center"))  # type: ignore[arg-type]


def _clock(entry: Entry, zone: tzinfo | None) -> str:
    return entry.occurred_at.astimezone(zone).strftime("%H:%M")


def _said(entry: Entry) -> str:
    text = entry.reply_text or entry.text or entry.kind
    return safe(text.strip())


def _heading(entry: Entry, zone: tzinfo | None) -> Text:
    name = entry.author.display_name or entry.author.identity
    heading = Text(safe(name), style="bold")
    heading.append(f" · {entry.channel if entry.kind != 'note' else 'note'} · {_clock(entry, zone)}", style="not bold dim")
    if entry.direction == "inbound" and not entry.verified:
        heading.append(" · unverified", style="not bold yellow")
    return heading


def _footing(entry: Entry) -> Text | None:
    if not entry.state or entry.direction != "outbound":
        return None
    reason = f": {safe(entry.state_reason)}" if entry.state_reason else ""
    return Text(f"{entry.state}{reason}", style=_STATE_STYLE.get(entry.state, "dim"))


def _contents(entry: Entry, *, with_subject: bool) -> Iterator[Text]:
    if entry.deleted_at:
        yield Text("deleted", style="dim italic")
        return
    if with_subject and entry.subject and entry.direction == "inbound":
        yield Text(safe(entry.subject), style="italic")
    yield Text(_said(entry))
    if entry.quoted_text:
        yield Text("[… quoted text]", style="dim")
    for attachment in entry.attachments:
        yield Text(f"📎 {safe(attachment.file_name or attachment.media_type)} ({attachment.size or 0:,} bytes)", style="dim")
    if entry.edited_at:
        yield Text("edited", style="dim")


def explanation_tree(message_id: str, told: JsonObject) -> Tree:
    """What `explain` answers, as a tree that follows its own shape."""
    tree = Tree(f"[bold]{escape(message_id)}[/bold]", guide_style="dim")
    _grow(tree, told)
    return tree


def _grow(branch: Tree, value: object) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _hang(branch, str(name), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            _hang(branch, str(number), inner)


def _hang(branch: Tree, name: str, value: object) -> None:
    if isinstance(value, Mapping | list):
        if value:
            _grow(branch.add(f"[cyan]{escape(name)}[/cyan]"), value)
        return
    if value not in {None, ""}:
        branch.add(f"[cyan]{escape(name)}[/cyan] {escape(safe(str(value)))}")
