"""Tells what a mail's author wrote from what the client quoted below or above it, and from the signature.

Nothing is lost: the full text is kept elsewhere, and answers between quoted lines are never cut.
Not here: HTML (html_text.py puts marks where clients do), the words of each language (quote_languages.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ingest_email.parsing.html_text import QUOTE_END, QUOTE_REST, QUOTE_START
from ingest_email.parsing.quote_languages import FORWARD_SUBJECTS, LANGUAGES

_MAX_ATTRIBUTION_LINES = 4
_MAX_ATTRIBUTION_CHARS = 400
_MAX_BLOCK_LINES = 8
_MAX_SIGNATURE_LINES = 40
_MARKS = re.compile(f"[{QUOTE_START}{QUOTE_END}{QUOTE_REST}]")
_LABEL = re.compile(r"[ \t>*_]{0,8}([^\W\d_][^:\uff1a*\n]{0,30}?)\*?[ \t]?[:\uff1a]\*?(?:[ \t]|\S|\Z)")
_RULER = re.compile(r"[ \t]*[-_=*]{5,}[ \t]*\Z")
_DASHED = re.compile(r"[ \t>*]{0,8}[-_\u2013\u2014=]{2,}[ \t]*([^-_\u2013\u2014=\n]{3,60}?)[ \t]*:?[ \t]*[-_\u2013\u2014=]{2,}[ \t]*\Z")
_MAY_DIVIDE = re.compile(r"[-_=\u2013\u2014]{2}|:\s*\Z")
# A date, a time or an address: without one, "I wrote:" is only what somebody says.
_DATED = re.compile(r"\d{1,2}[:.h]\d{2}|\d{4}|\d{1,2}/\d{1,2}/\d{2}|\S@\S|\d{1,2}月")
_STARTS_WITH_DATE = re.compile(r"\W*(?:[^\W\d]{1,12}[.,]{0,2}\s){0,2}\d")
_ADDRESSED = re.compile(r"<?(?:mailto:)?[^\s<>@]{1,64}@[^\s<>@]{1,255}>?\)?\s?[:\uff1a]\Z")


@dataclass(frozen=True, slots=True)
class Split:
    """What was found. ``reply`` is the whole text where cutting would leave nothing; ``quoted`` is then None."""

    reply: str
    quoted: str | None
    signature: str | None
    forwarded: bool


@dataclass(frozen=True, slots=True)
class _Run:
    quoted: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Words:
    opened: re.Pattern[str]
    unopened: re.Pattern[str]
    labels: dict[str, str]
    original: frozenset[str]
    forwarded: frozenset[str]
    sent_from: tuple[str, ...]


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
        tuple(one for language in LANGUAGES for one in language.sent_from),
    )


def is_forward_subject(subject: str | None) -> bool:
    """``Fwd:``, ``WG:`` and the like in front."""
    if subject is None:
        return False
    prefix = re.split(r"[:\uff1a]", subject[:20], maxsplit=1)
    return len(prefix) == 2 and prefix[0].strip().lower() in FORWARD_SUBJECTS


def without_marks(text: str) -> str:
    """The text for people."""
    return _MARKS.sub("", text)


def split(text: str, *, forward_subject: bool) -> Split:
    """Splits a body. Marks of html_text count where there are any, else lines are read."""
    runs = _marked_runs(text) if _MARKS.search(text) is not None else _line_runs(text)
    return _decide(runs, without_marks(text), forward_subject=forward_subject)


def _marked_runs(text: str) -> list[_Run]:
    runs: list[_Run] = []
    quoted, last = False, 0
    for mark in _MARKS.finditer(text):
        _add(runs, quoted, text[last : mark.start()])
        last = mark.end()
        if mark[0] == QUOTE_REST:
            _add(runs, True, _MARKS.sub("", text[last:]))
            last = len(text)
            break
        quoted = mark[0] == QUOTE_START
    _add(runs, quoted, text[last:])
    return _attributions_to_quotes(runs)


def _attributions_to_quotes(runs: list[_Run]) -> list[_Run]:
    """Some clients write "On ... wrote:" outside their quote element."""
    out: list[_Run] = []
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        if run.quoted or following is None or not following.quoted:
            _add(out, run.quoted, run.text)
            continue
        lines = run.text.rstrip().split("\n")
        for start in _possible_starts(lines):
            if _is_attribution(lines[start:]):
                _add(out, False, "\n".join(lines[:start]))
                _add(out, True, "\n".join(lines[start:]))
                break
        else:
            _add(out, False, run.text)
    return out


def _possible_starts(lines: Sequence[str]) -> range:
    """Where an attribution that ends a text may begin: at most some lines above, never across a blank one."""
    start = len(lines) - 1
    while start > max(0, len(lines) - _MAX_ATTRIBUTION_LINES) and lines[start - 1].strip():
        start -= 1
    return range(start, len(lines))


def _add(runs: list[_Run], quoted: bool, text: str) -> None:
    if not text.strip():
        return
    if runs and runs[-1].quoted == quoted:
        text = runs.pop().text + "\n" + text
    runs.append(_Run(quoted, text))


def _line_runs(text: str) -> list[_Run]:
    lines = text.split("\n")
    runs: list[_Run] = []
    start, at, quoted = 0, 0, False

    def turn(now: bool, where: int) -> None:
        nonlocal start, quoted
        if now != quoted:
            _add(runs, quoted, "\n".join(lines[start:where]))
            start, quoted = where, now

    while at < len(lines):
        line = lines[at]
        if not line or line.isspace():
            at += 1
            continue
        if line.lstrip()[0] == ">":
            turn(True, at)
            at += 1
            continue
        if _starts_rest(lines, at):
            turn(True, _above_rulers(lines, at, start))
            break
        length = _attribution(lines, at)
        if length:
            turn(True, at)
            if not _next_is_quoted(lines, at + length):
                break
            at += length
            continue
        turn(False, at)
        at += 1
    _add(runs, quoted, "\n".join(lines[start:]))
    return runs


def _starts_rest(lines: Sequence[str], at: int) -> bool:
    """A line from which on everything is the quoted mail."""
    return _dashed(lines[at]) is not None or _is_header_block(lines, at)


def _dashed(line: str) -> str | None:
    """``-----Original Message-----`` gives "original", a forward's line "forwarded"."""
    if len(line) > 160 or not _MAY_DIVIDE.search(line):
        return None
    match = _DASHED.match(line)
    words = _words()
    text = (match[1] if match is not None else line.strip(" :*")).lower()
    if text in words.forwarded and (match is not None or line.rstrip().endswith(":")):
        return "forwarded"
    return "original" if match is not None and text in words.original else None


def _is_header_block(lines: Sequence[str], at: int) -> bool:
    if _label(lines[at]) != "from":
        return False
    kinds = {_label(line) for line in lines[at + 1 : at + _MAX_BLOCK_LINES]}
    return len(kinds & {"sent", "to", "subject"}) >= 2


def _label(line: str) -> str | None:
    head = line[:60]
    match = _LABEL.match(head) if ":" in head or "\uff1a" in head else None
    return _words().labels.get(match[1].strip().lower()) if match is not None else None


def _above_rulers(lines: Sequence[str], at: int, start: int) -> int:
    """Outlook draws a line above its header block; it belongs to the quote."""
    first = at
    while at > start and (not lines[at - 1].strip() or _RULER.match(lines[at - 1])):
        at -= 1
        if lines[at].strip():
            first = at
    return first


def _attribution(lines: Sequence[str], at: int) -> int:
    """How many lines from here are one "On ... wrote:", or 0."""
    for length in range(1, _MAX_ATTRIBUTION_LINES + 1):
        last = lines[at + length - 1].rstrip() if at + length <= len(lines) else ""
        if not last or last.lstrip()[:1] == ">":
            return 0
        if last[-1] in ":\uff1a":
            part = lines[at : at + length]
            quoted_next = _next_is_quoted(lines, at + length)
            return length if _is_attribution(part) and (quoted_next or _stands_alone(lines, at, length)) else 0
    return 0


def _is_attribution(lines: Sequence[str]) -> bool:
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


def _next_is_quoted(lines: Sequence[str], at: int) -> bool:
    for line in lines[at : at + 3]:
        if line.strip():
            return line.lstrip()[0] == ">"
    return False


def _decide(runs: list[_Run], text: str, *, forward_subject: bool) -> Split:
    quotes = [at for at, run in enumerate(runs) if run.quoted]
    if quotes and _is_forward(runs[quotes[0]].text, forward_subject=forward_subject):
        return Split(text.strip(), None, None, True)
    if not quotes or len(quotes) == len(runs):
        reply, signature = _signature(text)
        return _kept(reply, runs, [], signature, text)
    last_own = max(at for at, run in enumerate(runs) if not run.quoted)
    if last_own == 0 or quotes == [0]:  # above the quote, or below the only one
        reply, signature = _signature(runs[last_own].text)
        return _kept(reply, runs, quotes, signature, text)
    ending, signature = _signature(runs[last_own].text)
    if not ending and last_own == 2:  # a signature or a list's footer below the quote
        reply, own_signature = _signature(runs[0].text)
        return _kept(reply, runs, quotes, own_signature or signature, text)
    body = "\n".join(run.text for run in runs[:last_own])
    after = [at for at in quotes if at > last_own]
    return _kept(f"{body}\n{ending}".strip(), runs, after, signature, text)


def _kept(reply: str, runs: list[_Run], quotes: list[int], signature: str | None, text: str) -> Split:
    if not reply.strip():
        return Split(text.strip(), None, None, False)
    quoted = "\n".join(runs[at].text for at in quotes).strip("\n")
    return Split(reply, quoted or None, signature, False)


def _is_forward(quoted: str, *, forward_subject: bool) -> bool:
    """A forwarded mail is what the author sends, not what the client repeats: nothing of it is cut."""
    lines = [line for line in quoted.lstrip().split("\n", 6)[:6] if line.strip()]
    return any(_dashed(line) == "forwarded" for line in lines[:2]) or (
        forward_subject and any(_is_header_block(lines, at) for at in range(len(lines)))
    )


def _signature(text: str) -> tuple[str, str | None]:
    """The text without its signature, and the signature; a mail that is only a signature keeps it out of the reply."""
    lines = text.strip("\n").split("\n")
    lowest = max(0, len(lines) - _MAX_SIGNATURE_LINES)
    for at in range(len(lines) - 1, lowest - 1, -1):
        if lines[at].rstrip("\r") in {"-- ", "--"}:
            return "\n".join(lines[:at]).strip(), "\n".join(lines[at + 1 :]).strip() or None
    return _phone_signature(lines)


def _phone_signature(lines: list[str]) -> tuple[str, str | None]:
    filled = [at for at, line in enumerate(lines[-12:], max(0, len(lines) - 12)) if line.strip()]
    for at in filled[-2:]:
        line = lines[at].strip(" \t*_").lower()
        if len(line) <= 80 and line.startswith(_words().sent_from) and any(one.strip() for one in lines[:at]):
            return "\n".join(lines[:at]).strip(), "\n".join(lines[at:]).strip()
    return "\n".join(lines).strip(), None
