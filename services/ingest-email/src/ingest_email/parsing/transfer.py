"""Undoes transfer encodings, bad ones included.

Not here: charsets. Nothing raises: what cannot be decoded stands as far as it could be read.
"""

import binascii
import re

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} [^\n]*\n", re.MULTILINE)


def decode_transfer(data: bytes, encoding: bytes | None) -> bytes:
    """The bytes of a part; an unknown encoding leaves them as they are."""
    if encoding is None:
        return data
    name = encoding.strip().strip(b"\"'").lower()
    if name == b"base64":
        return decode_base64(data)
    if name == b"quoted-printable":
        return binascii.a2b_qp(data)
    if name in {b"x-uuencode", b"uuencode", b"x-uue", b"uue"}:
        return _decode_uu(data)
    return data


def decode_base64(data: bytes) -> bytes:
    """Base64 with line breaks, foreign characters, missing padding, or several padded pieces after each other."""
    padding = data.find(b"=")
    if padding < 0 or not data[padding:].strip(b"=\r\n\t "):
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            pass
    kept = data.translate(None, _NOT_BASE64)
    return b"".join(_piece(piece) for piece in kept.split(b"=") if piece)


def _piece(piece: bytes) -> bytes:
    whole = piece[:-1] if len(piece) % 4 == 1 else piece
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def _decode_uu(data: bytes) -> bytes:
    begin = _UU_BEGIN.search(data)
    if begin is None:
        return data
    out = bytearray()
    for line in data[begin.end() :].splitlines():
        if line.strip() in {b"end", b"`", b""}:
            break
        try:
            out += binascii.a2b_uu(line)
        except binascii.Error:
            # Some encoders pad a line with trailing characters that its length does not count.
            out += _short_uu(line)
    return bytes(out)


def _short_uu(line: bytes) -> bytes:
    size = (((line[0] - 32) & 63) * 4 + 5) // 3
    try:
        return binascii.a2b_uu(line[:size])
    except binascii.Error:
        return b""
