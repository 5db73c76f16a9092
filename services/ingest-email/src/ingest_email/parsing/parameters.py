"""Reads ``value; name=value`` header fields: Content-Type and Content-Disposition with RFC 2231 names and their broken cousins.

Not here: making file names safe (file_names.py) and encoded words (words.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ingest_email.parsing.charsets import decode, decode_raw_header

_PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^;]*+))')
_ESCAPED = re.compile(r"\\(.)")
_TYPE = re.compile(r"\s*+([a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,100})")
_CONTINUED = re.compile(r"(.+?)\*(\d{1,3})?(\*)?\Z")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A lower-case media type and its parameters by lower-case name."""

    name: str
    params: Mapping[str, str]


def unfold(value: bytes) -> bytes:
    """One line: the line breaks of folding and stray ones gone."""
    if b"\n" in value or b"\r" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"").replace(b"\r", b" ")
    return value.strip()


def media_type(value: bytes, default: MediaType) -> MediaType:
    """The type of a part; ``default`` where the field is not a media type at all."""
    text = decode_raw_header(unfold(value))
    match = _TYPE.match(text.lower())
    if match is None:
        return default
    return MediaType(match[1], parameters(text))


def disposition(value: bytes) -> MediaType:
    """Content-Disposition in the same shape: ``inline``, ``attachment`` or whatever was written."""
    text = decode_raw_header(unfold(value))
    return MediaType(text.partition(";")[0].strip().lower(), parameters(text))


def parameters(text: str) -> dict[str, str]:
    """All parameters; of a repeated one the first counts. RFC 2231 pieces are joined and decoded."""
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    if ";" not in text:
        return plain
    for name, quoted, bare in _PARAMETER.findall(text):
        value = _ESCAPED.sub(r"\1", quoted) if quoted else bare.strip().strip('"')
        key = name.lower()
        continued = _CONTINUED.match(key) if "*" in key else None
        if continued is None:
            plain.setdefault(key, value)
        else:
            pieces.setdefault(continued[1], []).append((int(continued[2] or 0), continued[3] is not None or not continued[2], value))
    for key, found in pieces.items():
        plain[key] = _joined(found)
    return plain


def _joined(pieces: list[tuple[int, bool, str]]) -> str:
    charset, data = "", bytearray()
    for index, (_, extended, value) in enumerate(sorted(pieces)):
        rest = value
        if extended and index == 0 and value.count("'") >= 2:
            charset, _, rest = value.split("'", 2)
        encoded = rest.encode("utf-8", "surrogateescape")
        data += unquote_to_bytes(encoded) if extended else encoded
    return decode(bytes(data), charset or "utf-8")
