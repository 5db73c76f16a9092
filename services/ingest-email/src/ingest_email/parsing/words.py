"""Header text for people: RFC 2047 encoded words, and a clean single line.

Not here: the structure of address fields (addresses.py) and of parameters (parameters.py).
"""

import binascii
import re

from ingest_email.parsing.charsets import decode, decode_raw_header
from ingest_email.parsing.parameters import unfold
from ingest_email.parsing.transfer import decode_base64

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_CONTROLS = re.compile("[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_SPACES = re.compile(r"[ \t\xa0]{2,}")


def one_line(text: str) -> str:
    """No control characters or line breaks of any kind: safe where it becomes a header again."""
    if text.isprintable():
        return text.strip()
    return _SPACES.sub(" ", _CONTROLS.sub(" ", text)).strip()


def decode_words(text: str) -> str:
    """Encoded words decoded. Neighbours of one charset are joined as bytes first: senders cut characters in two."""
    if "=?" not in text:
        return text
    out: list[str] = []
    pending, charset, last = bytearray(), "", 0
    for match in _WORD.finditer(text):
        between = text[last : match.start()]
        declared = match[1].partition("*")[0].lower()
        if pending and (declared != charset or (between and not between.isspace())):
            out.append(decode(bytes(pending), charset))
            pending.clear()
            if not between.isspace():
                out.append(between)
        elif not pending:
            out.append(between)
        charset, last = declared, match.end()
        pending += _word_bytes(match[2], match[3])
    if pending:
        out.append(decode(bytes(pending), charset))
    out.append(text[last:])
    return "".join(out)


def _word_bytes(encoding: str, encoded: str) -> bytes:
    data = encoded.encode("utf-8", "surrogateescape")
    if encoding in "bB":
        return decode_base64(data)
    return binascii.a2b_qp(data, header=True)


def header_text(value: bytes | None, hint: str | None = None) -> str | None:
    """One line for people, or None where the field is missing or empty."""
    if value is None:
        return None
    return one_line(decode_words(decode_raw_header(unfold(value), hint))) or None
