"""What the customer reads: the agent's words as text and HTML, with the answered message quoted below.

HTML of the agent and of the customer is sanitised here, because we send it under our name.
Not here: MIME (`compose`).
"""

import html
import re
from datetime import UTC, datetime

import nh3
from threadline_events.outbound import Quoted

__all__ = ["html_body", "text_body"]

_SCHEMES = {"http", "https", "mailto", "tel"}
_AGENT_SCHEMES = _SCHEMES | {"cid"}
_TAGS = nh3.ALLOWED_TAGS - {"map", "area"}
_QUOTED_TAGS = _TAGS - {"img"}
_QUOTE_STYLE = "margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE_ENDS = re.compile("\r\n|\r|\n")


def text_body(text: str, quoted: Quoted | None) -> str:
    """The text part: lines end with a line feed, and nothing in it is unencodable."""
    body = _clean(text).rstrip("\n") + "\n"
    if quoted is None:
        return body
    lines = _clean(quoted.text).rstrip("\n").split("\n")
    marked = "\n".join((">" if line.startswith(">") else "> ") + line if line else ">" for line in lines)
    return f"{body}\n{_attribution(quoted)}\n{marked}\n"


def html_body(text: str, agent_html: str | None, quoted: Quoted | None) -> str:
    """The HTML part; an agent who wrote plain text gets it as HTML of the same look."""
    written = _html_of(text) if agent_html is None else nh3.clean(_clean(agent_html), tags=_TAGS, url_schemes=_AGENT_SCHEMES)
    body = f"<div>{written}</div>\n"
    if quoted is not None:
        body += f"<br>\n<div>{html.escape(_attribution(quoted))}</div>\n"
        body += f'<blockquote type="cite" style="{_QUOTE_STYLE}">\n{_quoted_html(quoted)}\n</blockquote>\n'
    return f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{body}</body></html>\n'


def _quoted_html(quoted: Quoted) -> str:
    if quoted.html is None:
        return _html_of(quoted.text)
    # Pictures are left out: an inline one has no part in this mail, a remote one would call home from our mail.
    return nh3.clean(_clean(quoted.html), tags=_QUOTED_TAGS, url_schemes=_SCHEMES)


def _html_of(text: str) -> str:
    return "<br>\n".join(_indent(html.escape(line)) for line in _clean(text).rstrip("\n").split("\n"))


def _indent(line: str) -> str:
    spaces = len(line) - len(line.lstrip(" "))
    return "&nbsp;" * spaces + line[spaces:]


def _attribution(quoted: Quoted) -> str:
    who = " ".join(_clean(quoted.author).split()) or "the customer"
    return f"On {_spell(quoted.occurred_at.astimezone(UTC))}, {who} wrote:"


def _spell(moment: datetime) -> str:
    # Not strftime: its names follow the locale of the process.
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day} {month} {moment.year} at {moment.hour:02}:{moment.minute:02} UTC"


def _clean(text: str) -> str:
    return _LINE_ENDS.sub("\n", text).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
