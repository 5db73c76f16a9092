"""Reads what the trusted receiver said about a mail's From domain (RFC 8601, and Microsoft 365's form without an id).

Only a DMARC pass counts, only in the topmost field of the trusted receiver. Quoted strings and comments hold what the
sender chose, so they are never read as results. Not here: verifying signatures ourselves.
"""

import re

import idna

from ingest_email.parsing.charsets import decode_raw_header
from ingest_email.parsing.mail import Authentication
from ingest_email.parsing.parameters import unfold

# Exchange Online names no authserv-id; such a field counts only where the account trusts one of these.
_MICROSOFT = frozenset({"microsoft365", "outlook.com", "protection.outlook.com"})
_NOTHING = Authentication(False, None, None)
_RESULT = re.compile(r"\s*+([A-Za-z0-9-]{1,40})\s*+=\s*+([A-Za-z]{1,30})(?![^\s;])")
_HEADER_FROM = re.compile(r"\sheader\.from\s*+=\s*+([^\s;\x00-\x1f\x7f]{1,255})", re.IGNORECASE)


def authentication(raw_headers: list[bytes] | None, trusted_authserv_id: str | None, from_domain: str | None) -> Authentication:
    """The verdict of the trusted receiver for ``from_domain`` (None where From is missing or names several people).

    ``raw_headers``: the Authentication-Results fields, topmost first.
    """
    if trusted_authserv_id is None or not raw_headers:
        return _NOTHING
    trusted = trusted_authserv_id.strip().lower()
    for index, value in enumerate(raw_headers):
        segments = _segments(decode_raw_header(unfold(value)))
        if segments is None:  # nobody can tell whose it is, and the next one may be forged
            return _NOTHING
        words = segments[0].lower().split()
        if words and "=" not in segments[0].partition(" ")[0] and words[0] == trusted:
            return _verdict(segments[1:], from_domain)
        if index == 0 and _is_microsoft(trusted) and _RESULT.match(segments[0]) is not None:
            return _verdict(segments, from_domain)
    return _NOTHING


def _is_microsoft(trusted: str) -> bool:
    return trusted in _MICROSOFT or trusted.endswith(".protection.outlook.com")


def _verdict(segments: list[str], from_domain: str | None) -> Authentication:
    found: list[tuple[str, str | None]] = []
    for segment in segments:
        match = _RESULT.match(segment)
        if match is not None and match[1].lower() == "dmarc":
            domains = {_domain(one) for one in _HEADER_FROM.findall(segment)}
            found.append((match[2].lower(), domains.pop() if len(domains) == 1 else None))
    if not found:
        return _NOTHING
    # Several verdicts in one field: somebody got a word in; all must agree.
    result, header_from = found[0] if len(set(found)) == 1 else ("conflict", None)
    passed = result == "pass" and from_domain is not None and header_from == _domain(from_domain)
    return Authentication(passed and header_from != "", result, header_from)


def _domain(text: str) -> str:
    name = text.strip().rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""


_OPENING = re.compile(r'["(;]')
_IN_QUOTES = re.compile(r'"(?:[^"\\]|\\.)*+"')
_IN_COMMENT = re.compile(r"[()\\]")


def _segments(text: str) -> list[str] | None:
    """Split at ``;`` outside quoted strings and comments; those become blanks. None where one never ends."""
    if '"' not in text and "(" not in text:
        return text.split(";")
    out: list[str] = []
    piece: list[str] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        piece.append(text[at : opening.start()])
        if opening[0] == ";":
            out.append("".join(piece))
            piece.clear()
            at = opening.end()
            continue
        end = _end_of_quotes(text, opening.start()) if opening[0] == '"' else _end_of_comment(text, opening.end())
        if end < 0:
            return None
        piece.append("?" if opening[0] == '"' else " ")
        at = end
    out.append("".join([*piece, text[at:]]))
    return out


def _end_of_quotes(text: str, at: int) -> int:
    match = _IN_QUOTES.match(text, at)
    return match.end() if match is not None else -1


def _end_of_comment(text: str, at: int) -> int:
    depth = 1
    while depth:
        found = _IN_COMMENT.search(text, at)
        if found is None:
            return -1
        at = found.end() + (found[0] == "\\")
        depth += {"(": 1, ")": -1}.get(found[0], 0)
    return at
