"""How conversations read on a terminal: a table, bubbles with day dividers, a tree of reasons. Pure: values in, renderables out."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

__all__ = ["Listed", "conversation_table", "entry_bubble", "explanation_tree", "local_time", "safe", "timeline_lines"]

_STATUS_STYLE = {"open": "green", "snoozed": "yellow", "resolved": "dim"}
_STATE_STYLE = {"failed": "bold red", "uncertain": "bold yellow", "sent": "green", "delivered": "green", "read": "cyan"}
_BORDER = {"inbound": "cyan", "outbound": "green", "internal": "yellow"}
_DEEDS = {
    "resolve": "resolved the conversation",
    "reopen": "opened the conversation again",
    "snooze": "snoozed the conversation",
    "assign": "took the assignment back",
    "link": "linked two addresses to one customer",
    "unlink": "took a link between two addresses back",
    "retry": "sent a message again",
    "confirm": "confirmed that a message arrived",
}
_WIDEST_BUBBLE, _FRAME = 76, 6


def local_time(moment: datetime, zone: tzinfo | None = None) -> str:
    """A time for people, in `zone` (default: the terminal's)."""
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def safe(text: str) -> str:
    """A customer's words must not move the cursor or recolour the terminal."""
    return "".join(character if character in "\n\t" or character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation in a list, and the name or address of whom it is with."""

    conversation: Conversation
    customer: str


def conversation_table(listed: Sequence[Listed], zone: tzinfo | None = None) -> Table:
    """One row a conversation."""
    rows = [
        (
            each.conversation_id,
            Text(each.status, style=_STATUS_STYLE[each.status]),
            local_time(each.last_activity_at, zone),
            each.brand,
            ", ".join(each.channels),
            safe(one.customer),
            safe(each.subject or "(no subject)"),
            safe(each.assignee or ""),
        )
        for one in listed
        for each in (one.conversation,)
    ]
    columns = ["conversation", "status", "last activity", "brand", "channels", "customer", "subject", "assignee"]
    return table(columns, rows, whole=columns[:3])


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
        return Align.center(Text(f"{_name(entry)} {_deed(entry)} · {_clock(entry, zone)}", style="dim"))
    broad = max(20, min(_WIDEST_BUBBLE, width * 4 // 5))
    panel = Panel(
        Group(*_contents(entry, with_subject=with_subject)),
        title=_heading(entry, zone),
        title_align="left",
        subtitle=_footing(entry, broad - _FRAME),
        subtitle_align="right",
        border_style=_BORDER[entry.direction],
        width=broad,
    )
    return Align(panel, {"inbound": "left", "outbound": "right"}.get(entry.direction, "center"))  # type: ignore[arg-type]


def _clock(entry: Entry, zone: tzinfo | None) -> str:
    return entry.occurred_at.astimezone(zone).strftime("%H:%M")


def _said(entry: Entry) -> str:
    text = entry.reply_text or entry.text or entry.kind
    return safe(text.strip())


def _name(entry: Entry) -> str:
    return safe(entry.author.display_name or entry.author.identity)


def _deed(entry: Entry) -> str:
    if entry.kind == "assign" and entry.text:
        return f"assigned this to {safe(entry.text)}"
    return _DEEDS.get(entry.kind, entry.kind)


def _heading(entry: Entry, zone: tzinfo | None) -> Text:
    heading = Text(_name(entry), style="bold")
    heading.append(f" · {entry.channel if entry.kind != 'note' else 'note'} · {_clock(entry, zone)}", style="not bold dim")
    if entry.direction == "inbound" and not entry.verified:
        heading.append(" · unverified", style="not bold yellow")
    return heading


def _footing(entry: Entry, room: int) -> Text:
    """The id, which `explain` and `reply --in-reply-to` take, and what became of an answer; half an id would only mislead."""
    state = entry.state if entry.state and entry.direction == "outbound" else ""
    shown = [part for part in (Text(entry.message_id, style="dim"), Text(state, style=_STATE_STYLE.get(state, "dim"))) if part]
    whole = Text(" · ", style="dim").join(shown)
    return whole if whole.cell_len <= room else Text(state, style=_STATE_STYLE.get(state, "dim"))


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
    if entry.direction == "outbound" and entry.state_reason:
        yield Text(f"{entry.state}: {safe(entry.state_reason)}", style=_STATE_STYLE.get(entry.state or "", "dim"))


def explanation_tree(message_id: str, told: JsonObject) -> Tree:
    """What `explain` answers, as a tree that follows its own shape; each rule is one line."""
    tree = Tree(f"[bold]{escape(message_id)}[/bold]", guide_style="dim")
    _grow(tree, {name: value for name, value in told.items() if name != "message_id"})
    return tree


def _grow(branch: Tree, value: object) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _hang(branch, str(name), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            _hang(branch, str(number), inner)


def _hang(branch: Tree, name: str, value: object) -> None:
    if isinstance(value, Mapping) and "rule" in value:
        mark = "[green]✓[/green]" if value.get("decided") else "[dim]·[/dim]"
        saw = f" [dim]{escape(safe(str(value['saw'])))}[/dim]" if value.get("saw") else ""
        branch.add(f"{mark} {escape(safe(str(value['rule'])))}{saw}")
        return
    if isinstance(value, Mapping | list):
        if value:
            _grow(branch.add(f"[cyan]{escape(name)}[/cyan]"), value)
        return
    if value not in {None, ""}:
        branch.add(f"[cyan]{escape(name)}[/cyan] {escape(safe(str(value)))}")
