"""Recognises the lines with which mail clients announce a quoted mail.

Every test looks at a bounded number of bounded lines. Not here: what is cut (quotes.py), and the words themselves
(quote_languages.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ingest_email.parsing.quote_languages import LANGUAGES

_MAX_ATTRIBUTION_LINES = 4
_MAX_ATTRIBUTION_CHARS = 400
_MAX_BLOCK_LINES = 8
_LABEL = re.compile(r"[ \t>*_]{0,8}([^\W\d_][^:\uff1a*\n]{0,30}?)\*?[ \t]?[:\uff1a]\*?(?:[ \t]|\S|\Z)")
_RULER = re.compile(r"[ \t]*[-_=*]{5,}[ \t]*\Z")
_DASHED = re.compile(r"[ \t>*]{0,8}[-_\u2013\u2014=]{2,}[ \t]*([^-_\u2013\u2014=\n]{3,60}?)[ \t]*:?[ \t]*[-_\u2013\u2014=]{2,}[ \t]*\Z")
_MAY_DIVIDE = re.compile(r"[-_=\u2013\u2014]{2}|:\s*\Z")
# A date, a time or an address: without one, "I wrote:" is only what somebody says.
_DATED = re.compile(r"\d{1,2}[:.h]\d{2}|\d{4}|\d{1,2}/\d{1,2}/\d{2}|\S@\S|\d{1,2}月")
_STARTS_WITH_DATE = re.compile(r"\W*(?:[^\W\d]{1,12}[.,]{0,2}\s){0,2}\d")
_ADDRESSED = re.compile(r"<?(?:mailto:)?[^\s<>@]{1,64}@[^\s<>@]{1,255}>?\)?\s?[:\uff1a]\Z")


@dataclass(frozen=True, slots=True)
class _Words:
    opened: re.Pattern[str]
    unopened: re.Pattern[str]
    labels: dict[str, str]
    original: frozenset[str]
    forwarded: frozenset[str]


@lru_cache(maxsize=1)
def _words() -> _Words:
    labels: dict[str, str] = {}
    for language in LANGUAGES:
        for kind, names in (
            ("from", language.from_labels),
            ("sent", language.sent_labels),
            ("to", language.to_labels),
            ("subject", language.subject_labels),
        ):
            for name in names:
                labels.setdefault(name, kind)
    attributions = [one for language in LANGUAGES for one in language.attribution]
    return _Words(
        re.compile("|".join(f"(?:{one})" for one in attributions if not one.startswith(".*"))),
        re.compile("|".join(f"(?:{one})" for one in attributions if one.startswith(".*"))),
        labels,
        frozenset(one for language in LANGUAGES for one in language.original),
        frozenset(one for language in LANGUAGES for one in language.forwarded),
    )


def starts_rest(lines: Sequence[str], at: int) -> bool:
    """A line from which on everything is the quoted mail."""
    return dashed(lines[at]) is not None or is_header_block(lines, at)


def dashed(line: str) -> str | None:
    """``-----Original Message-----`` gives "original", a forward's line "forwarded"."""
    if len(line) > 160 or not _MAY_DIVIDE.search(line):
        return None
    match = _DASHED.match(line)
    words = _words()
    text = (match[1] if match is not None else line.strip(" :*")).lower()
    if text in words.forwarded and (match is not None or line.rstrip().endswith(":")):
        return "forwarded"
    return "original" if match is not None and text in words.original else None


def is_header_block(lines: Sequence[str], at: int) -> bool:
    """Outlook's block: From, and below it at least two of Sent, To and Subject, in any language."""
    if _label(lines[at]) != "from":
        return False
    kinds = {_label(line) for line in lines[at + 1 : at + _MAX_BLOCK_LINES]}
    return len(kinds & {"sent", "to", "subject"}) >= 2


def _label(line: str) -> str | None:
    head = line[:60]
    match = _LABEL.match(head) if ":" in head or "\uff1a" in head else None
    return _words().labels.get(match[1].strip().lower()) if match is not None else None


def above_rulers(lines: Sequence[str], at: int, start: int) -> int:
    """Outlook draws a line above its header block; it belongs to the quote."""
    first = at
    while at > start and (not lines[at - 1].strip() or _RULER.match(lines[at - 1])):
        at -= 1
        if lines[at].strip():
            first = at
    return first


def attribution_length(lines: Sequence[str], at: int) -> int:
    """How many lines from here are one "On ... wrote:", or 0."""
    for length in range(1, _MAX_ATTRIBUTION_LINES + 1):
        last = lines[at + length - 1].rstrip() if at + length <= len(lines) else ""
        if not last or last.lstrip()[:1] == ">":
            return 0
        if last[-1] in ":\uff1a":
            part = lines[at : at + length]
            quoted_next = next_is_quoted(lines, at + length)
            return length if is_attribution(part) and (quoted_next or _stands_alone(lines, at, length)) else 0
    return 0


def is_attribution(lines: Sequence[str]) -> bool:
    """Whether these lines are one attribution. Of several readings the shortest with a beginning of its own counts."""
    if len(lines) == 1:
        return _is_opened(lines) or _ends_as_attribution(lines[0].strip())
    later = [lines[at:] for at in range(1, len(lines))]
    if _is_opened(lines):
        return not any(_is_opened(one) for one in later)
    return _is_dated(lines) and not any(_is_opened(one) or _is_dated(one) for one in later)


def _is_opened(lines: Sequence[str]) -> bool:
    """ "On ... wrote:": begins with a word that only attributions begin with; over several lines also with a date."""
    joined = _joined(lines)
    if len(joined) > _MAX_ATTRIBUTION_CHARS or not joined.endswith((":", "\uff1a")):
        return False
    if len(lines) > 1 and _DATED.search(joined) is None:
        return False
    return _words().opened.fullmatch(joined[:-1].rstrip()) is not None


def _is_dated(lines: Sequence[str]) -> bool:
    """Begins with a date and ends as attributions do."""
    first = lines[0].strip()
    if _STARTS_WITH_DATE.match(first) is None or _DATED.search(first) is None:
        return False
    return _ends_as_attribution(_joined(lines))


def _joined(lines: Sequence[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _ends_as_attribution(line: str) -> bool:
    if len(line) > _MAX_ATTRIBUTION_CHARS or not line.endswith((":", "\uff1a")):
        return False
    if _words().unopened.fullmatch(line[:-1].rstrip()) is not None:
        return True
    return _ADDRESSED.search(line) is not None and _DATED.search(line) is not None


def _stands_alone(lines: Sequence[str], at: int, length: int) -> bool:
    """Without ``>`` below, only a line with its own date or time and an address or comma above text counts."""
    joined = _joined(lines[at : at + length])
    alone = at == 0 or not lines[at - 1].strip()
    return alone and at > 0 and len(_DATED.findall(joined)) >= 2


def next_is_quoted(lines: Sequence[str], at: int) -> bool:
    """Whether the next line with words begins with ``>``."""
    for line in lines[at : at + 3]:
        if line.strip():
            return line.lstrip()[0] == ">"
    return False


def possible_starts(lines: Sequence[str]) -> range:
    """Where an attribution that ends a text may begin: at most some lines above, never across a blank one."""
    start = len(lines) - 1
    while start > max(0, len(lines) - _MAX_ATTRIBUTION_LINES) and lines[start - 1].strip():
        start -= 1
    return range(start, len(lines))
