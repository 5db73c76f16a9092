"""How names travel in IMAP: modified UTF-7 for mailboxes (RFC 3501 5.1.3) and quoted strings.

Not here: which mailboxes there are.
"""

import base64
import re

__all__ = ["encode_mailbox", "quote"]

_PLAIN = re.compile(r"[\x20-\x7e]+|[^\x20-\x7e]+")


def encode_mailbox(name: str) -> str:
    """A mailbox name in modified UTF-7, quoted, ready for the wire. Raises ValueError for CR, LF and NUL."""
    pieces = [piece.replace("&", "&-") if piece.isascii() and piece.isprintable() else _code(piece) for piece in _PLAIN.findall(name)]
    return quote("".join(pieces))


def quote(text: str) -> str:
    """A quoted string (RFC 3501 section 9). Raises ValueError for CR, LF and NUL, which would end the command."""
    if any(c in text for c in "\r\n\0"):
        raise ValueError("CR, LF and NUL cannot stand in an IMAP argument")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _code(piece: str) -> str:
    if any(c in piece for c in "\r\n\0"):
        raise ValueError("CR, LF and NUL cannot stand in a mailbox name")
    coded = base64.b64encode(piece.encode("utf-16-be")).decode("ascii").rstrip("=").replace("/", ",")
    return f"&{coded}-"
