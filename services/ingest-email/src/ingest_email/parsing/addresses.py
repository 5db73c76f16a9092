"""Reads address fields in one pass, however broken: names, comments, groups, missing quotes and brackets.

Structure is found before encoded words are decoded, since a decoded name may hold commas. Not here: canonical
identities (threadline_events.identity).
"""

import re

from ingest_email.parsing.charsets import decode_raw_header
from ingest_email.parsing.limits import MAX_ADDRESS_CHARS, MAX_NAME_CHARS
from ingest_email.parsing.mail import Address
from ingest_email.parsing.parameters import unfold
from ingest_email.parsing.words import decode_words, one_line

_SIMPLE = re.compile(r'\s*+(?:"([^"\\]*+)"|([^"<>()\[\],;:@\\]*+))\s*+<([^<>\s@"(),;:]++@[^<>\s@"(),;:]++)>\s*+\Z')
_BARE = re.compile(r'\s*+([^<>\s@"(),;:]++@[^<>\s@"(),;:]++)\s*+\Z')
_PLAIN = re.compile(r'[^"(<>,;:\\]++')
_ADDRESS_WORD = re.compile(r"[^\s<>@,;:\"()\[\]]++@[^\s<>@,;:\"()\[\]]++")
_UNQUOTE = re.compile(r"\\(.)")
_FORBIDDEN = re.compile("[\x00-\x20\x7f<>,]")


def addresses(values: list[bytes] | None, limit: int, hint: str | None = None) -> tuple[Address, ...]:
    """All usable addresses of a field, in order; what has no local part or no domain is left out."""
    found: list[Address] = []
    for value in values or ():
        text = decode_raw_header(unfold(value), hint)
        one = _single(text)
        found.extend([one] if one is not None else _Reader(text, limit).read())
        if len(found) >= limit:
            break
    return tuple(found[:limit])


def _single(text: str) -> Address | None:
    match = _SIMPLE.match(text)
    if match is not None:
        return _address(match[3], match[1] if match[1] is not None else match[2])
    bare = _BARE.match(text)
    return _address(bare[1], "") if bare is not None else None


def usable(text: str) -> str | None:
    """The address if it has one local part and one domain, else None."""
    address = text.strip()
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or len(address) > MAX_ADDRESS_CHARS:
        return None
    if local[0] != '"' and ("@" in local or _FORBIDDEN.search(local)):
        return None
    return address if not _FORBIDDEN.search(domain) and address.isprintable() else None


def _address(text: str, name: str) -> Address | None:
    address = usable(text)
    if address is None:
        return None
    shown = one_line(decode_words(name))
    if len(shown) > 1 and shown[0] == shown[-1] and shown[0] in "'\"":
        shown = shown[1:-1].strip()
    return Address(address, shown[:MAX_NAME_CHARS] or None)


class _Reader:
    """A field that is not one plain address. Each character is looked at once: a missing end is remembered."""

    def __init__(self, text: str, limit: int) -> None:
        self.text = text
        self.limit = limit
        self.found: list[Address] = []
        self.name: list[str] = []
        self.comment: list[str] = []
        self.angle: str | None = None
        self.without_end: set[str] = set()

    def read(self) -> list[Address]:
        at, size = 0, len(self.text)
        while at < size and len(self.found) < self.limit:
            plain = _PLAIN.match(self.text, at)
            if plain is not None:
                self.name.append(plain[0])
                at = plain.end()
            else:
                at = self.special(at)
        self.finish()
        return self.found

    def special(self, at: int) -> int:
        char = self.text[at]
        if char == '"':
            return self.quoted(at)
        if char == "(":
            return self.commented(at)
        if char == "<":
            return self.angled(at)
        if char in ",;":
            self.finish()
        elif char == ":" and self.angle is None:
            self.name.clear()  # the name of a group
        return at + 1

    def quoted(self, at: int) -> int:
        end = self.closing_quote(at + 1)
        if end < 0:
            return at + 1
        following = self.text[end + 1 : end + 2]
        inner = self.text[at : end + 1] if following == "@" else _UNQUOTE.sub(r"\1", self.text[at + 1 : end])
        self.name.append(inner)
        return end + 1

    def closing_quote(self, start: int) -> int:
        if '"' in self.without_end:
            return -1
        end = self.text.find('"', start)
        while end > 0 and self.text[end - 1] == "\\" and _odd_backslashes(self.text, end):
            end = self.text.find('"', end + 1)
        if end < 0:
            self.without_end.add('"')
        return end

    def commented(self, at: int) -> int:
        end = self.find(")", at + 1)
        if end < 0:
            return at + 1
        self.comment.append(self.text[at + 1 : end])
        return end + 1

    def angled(self, at: int) -> int:
        end = self.find(">", at + 1)
        inner = self.text[at + 1 : end] if end >= 0 else self.text[at + 1 :]
        if end < 0 or "," in inner:
            # A missing bracket: the address ends at the next separator.
            inner = inner.partition(",")[0].partition(";")[0]
            end = at + len(inner)
        if usable(_without_route(inner)) is not None or self.angle is None:
            self.angle = _without_route(inner)
        return end + 1

    def find(self, char: str, start: int) -> int:
        if char in self.without_end:
            return -1
        end = self.text.find(char, start)
        if end < 0:
            self.without_end.add(char)
        return end

    def finish(self) -> None:
        name, angle = "".join(self.name), self.angle
        if angle is None:
            # ``ann@x.test (Ann Lee)``, and a bare address among other words.
            whole = usable(name)
            word = _ADDRESS_WORD.search(name) if whole is None and "@" in name else None
            angle = whole or (word[0] if word is not None else "")
            name = " ".join(self.comment)
        if angle:
            made = _address(angle, name)
            if made is not None:
                self.found.append(made)
        self.name, self.comment, self.angle = [], [], None


def _without_route(inner: str) -> str:
    """``<@relay.test:ann@x.test>`` is an old source route."""
    text = inner.strip().removeprefix("mailto:")
    return text.partition(":")[2] if text.startswith("@") else text


def _odd_backslashes(text: str, at: int) -> bool:
    start = at
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return (at - start) % 2 == 1
