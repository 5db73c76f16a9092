"""Splits the signature off the end of what somebody wrote.

Only what announces itself: the line ``-- ``, and the advertising line of a phone. Not here: names under a greeting.
"""

from ingest_email.parsing.quote_languages import LANGUAGES

_MAX_SIGNATURE_LINES = 40
_MAX_PHONE_LINE_CHARS = 80
_SENT_FROM = tuple(one for language in LANGUAGES for one in language.sent_from)


def split_signature(text: str) -> tuple[str, str | None]:
    """The text without its signature, and the signature."""
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
        if len(line) <= _MAX_PHONE_LINE_CHARS and line.startswith(_SENT_FROM) and any(one.strip() for one in lines[:at]):
            return "\n".join(lines[:at]).strip(), "\n".join(lines[at:]).strip()
    return "\n".join(lines).strip(), None
