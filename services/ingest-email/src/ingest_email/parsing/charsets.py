"""Bytes to text by a ladder: the declared charset, UTF-8, a guess, and at the end a reading that cannot fail.

The declared name is an attacker's word: only real charsets are looked up, never Python's other text codecs (some of
them take quadratic time). Not here: transfer encodings.
"""

import codecs
import re
from functools import lru_cache

_ALIASES = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "gb2312-80": "gb18030",
    "x-gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "big5": "big5hkscs",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "unicode-1-1-utf-7": "utf-7",
    "ansi_x3.4-1968": "utf-8",
    "ansi_x3.4": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "utf8mb4": "utf-8",
    "unicode": "utf-8",
    "binary": "utf-8",
    "8bit": "utf-8",
    "7bit": "utf-8",
}
_NOT_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})
_NAME = re.compile(r"[A-Za-z0-9._:+()-]{1,40}\Z")
# ASCII bytes that do not mean ASCII characters.
_SHIFTING = ("iso2022", "utf-7", "hz", "utf-16", "utf-32")
# The only one of them whose decoder makes lone surrogates.
_UTF7 = "utf-7"
_SURROGATE = re.compile("[\ud800-\udfff]")
_GUESS_BYTES = 32 * 1024


@lru_cache(maxsize=256)
def _codec(declared: str) -> str | None:
    name = declared.strip().strip("'\"").lower()
    name = _ALIASES.get(name, name)
    if not _NAME.match(name):
        return None
    try:
        found = codecs.lookup(name)
    except LookupError:
        return None
    if found.name.replace("-", "_") in _NOT_CHARSETS or not getattr(found, "_is_text_encoding", True):
        return None
    return found.name


def decode(data: bytes, declared: str | None) -> str:
    """The text of ``data``. Never raises and never returns a lone surrogate; unreadable bytes become U+FFFD."""
    name = _codec(declared) if declared else None
    if data.isascii() and (name is None or not name.startswith(_SHIFTING)):
        return data.decode("ascii")
    if name is not None:
        text = _strict(data, name)
        if text is not None:
            return (mend(text) if name == _UTF7 else text).removeprefix("\ufeff")
    text = _strict(data, "utf-8")
    if text is not None:
        return text.removeprefix("\ufeff")
    return _nearly(data, name) or _guess(data) or _lenient(data)


def _strict(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, ValueError):
        return None


def _nearly(data: bytes, name: str | None) -> str | None:
    """A few bad bytes (a character cut in two) do not make a charset wrong."""
    if name is None or name in {"cp1252", "iso8859-1"}:
        return None
    text = data.decode(name, "replace")
    if text.count("\ufffd") * 50 > len(text):
        return None
    return mend(text) if name == _UTF7 else text


def _guess(data: bytes) -> str | None:
    from charset_normalizer import from_bytes  # slow to import, and hardly ever needed

    best = from_bytes(data[:_GUESS_BYTES]).best()
    if best is None or _codec(best.encoding) is None:
        return None
    text = data.decode(best.encoding, "replace")
    return mend(text) if text.count("\ufffd") * 50 <= len(text) else None


def _lenient(data: bytes) -> str:
    text = _strict(data, "cp1252")
    return text if text is not None else data.decode("latin-1")


def decode_raw_header(data: bytes, hint: str | None = None) -> str:
    """A header's bytes outside encoded words: UTF-8, else the charset of the body (``hint``), else Windows Latin."""
    if data.isascii():
        return data.decode("ascii")
    text = _strict(data, "utf-8")
    if text is None and hint:
        name = _codec(hint)
        text = _strict(data, name) if name is not None else None
    if text is None:
        return _lenient(data)
    return mend(text)


def mend(text: str) -> str:
    """Without lone surrogates: pairs become their character, the rest U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
