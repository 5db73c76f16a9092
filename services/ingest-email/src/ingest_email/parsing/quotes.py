"""Tells what a mail's author wrote from what the client quoted below or above it.

Nothing is lost: the full text is kept elsewhere, and answers between quoted lines are never cut.
Not here: HTML (html_text.py puts marks where clients do), recognising lines (quote_lines.py), signatures.
"""

import re
from dataclasses import dataclass

from ingest_email.parsing.html_text import QUOTE_END, QUOTE_REST, QUOTE_START
from ingest_email.parsing.quote_languages import FORWARD_SUBJECTS
from ingest_email.parsing.quote_lines import (
    above_rulers,
    attribution_length,
    dashed,
    is_attribution,
    is_header_block,
    next_is_quoted,
    possible_starts,
    starts_rest,
)
from ingest_email.parsing.signatures import split_signature

_MARKS = re.compile(f"[{QUOTE_START}{QUOTE_END}{QUOTE_REST}]")


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
    for at, run in enumerate(runs):
        if run.quoted or at + 1 == len(runs) or not runs[at + 1].quoted:
            _add(out, run.quoted, run.text)
            continue
        lines = run.text.rstrip().split("\n")
        for start in possible_starts(lines):
            if is_attribution(lines[start:]):
                _add(out, False, "\n".join(lines[:start]))
                _add(out, True, "\n".join(lines[start:]))
                break
        else:
            _add(out, False, run.text)
    return out


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
        if starts_rest(lines, at):
            turn(True, above_rulers(lines, at, start))
            break
        length = attribution_length(lines, at)
        if length:
            turn(True, at)
            if not next_is_quoted(lines, at + length):
                break
            at += length
            continue
        turn(False, at)
        at += 1
    _add(runs, quoted, "\n".join(lines[start:]))
    return runs


def _decide(runs: list[_Run], text: str, *, forward_subject: bool) -> Split:
    quotes = [at for at, run in enumerate(runs) if run.quoted]
    if quotes and _is_forward(runs[quotes[0]].text, forward_subject=forward_subject):
        return Split(text.strip(), None, None, True)
    if not quotes or len(quotes) == len(runs):
        reply, signature = split_signature(text)
        return _kept(reply, runs, [], signature, text)
    last_own = max(at for at, run in enumerate(runs) if not run.quoted)
    if last_own == 0 or quotes == [0]:  # above the quote, or below the only one
        reply, signature = split_signature(runs[last_own].text)
        return _kept(reply, runs, quotes, signature, text)
    ending, signature = split_signature(runs[last_own].text)
    if not ending and last_own == 2:  # a signature or a list's footer below the quote
        reply, own_signature = split_signature(runs[0].text)
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
    return any(dashed(line) == "forwarded" for line in lines[:2]) or (
        forward_subject and any(is_header_block(lines, at) for at in range(len(lines)))
    )
