"""The header fields of an outgoing mail, checked, encoded and folded by ourselves.

The standard library encodes an id longer than a line by RFC 2047, which breaks threading, and its older patch releases let a line
break through. So each field that holds a value of a customer or an agent is written here.
Not here: which fields a reply has (`compose`).
"""

import base64
import re
from collections.abc import Callable, Iterator, Sequence

__all__ = ["UnsendableMailError", "address_field", "bare_id", "id_field", "is_usable_id", "refuse_control_characters", "text_field"]

_LINE = 76
_WORD = 70
_LONGEST_ID = 900
_ENCODED_BYTES = 42
_FORBIDDEN = re.compile("[\r\n\0]")
_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_USABLE_ID = re.compile(r"[!-;=?-~]+")
_ESCAPED = re.compile(r'([\\"])')


class UnsendableMailError(ValueError):
    """No mail can be made of this message, now or later; the text names the field, never its value."""


def refuse_control_characters(field: str, value: str) -> str:
    """The value unchanged; raises UnsendableMailError where it would break out of its header field."""
    if _FORBIDDEN.search(value):
        raise UnsendableMailError(f"{field} holds a line break or NUL and cannot become a mail header")
    return value


def bare_id(field: str, value: str) -> str:
    """A message id without its angle brackets; raises UnsendableMailError for one that would break its field."""
    return refuse_control_characters(field, value).strip().removeprefix("<").removesuffix(">")


def is_usable_id(value: str) -> bool:
    """Whether an id can stand in a header as it is: no spaces, no brackets, ASCII, shorter than a line may be."""
    return len(value) <= _LONGEST_ID and _USABLE_ID.fullmatch(value) is not None


def id_field(name: str, ids: Sequence[str]) -> str:
    """Message-ID, In-Reply-To or References: the ids as they are, one a line, never encoded."""
    return f"{name}: " + "\r\n ".join(f"<{one}>" for one in ids) + "\r\n"


def text_field(name: str, text: str) -> str:
    """A field of free text such as Subject."""
    refuse_control_characters(name, text)
    return _fold(name, _phrase(text, _is_plain))


def address_field(name: str, address: str, display_name: str | None = None) -> str:
    """A field with one address. The name is encoded where it must be, the address never."""
    refuse_control_characters(name, address)
    if not display_name:
        return _fold(name, [f"<{address}>"])
    refuse_control_characters(f"the display name of {name}", display_name)
    words = ['"' + _ESCAPED.sub(r"\\\1", display_name) + '"'] if _is_quotable(display_name) else _phrase(display_name, _is_atoms)
    return _fold(name, [*words, f"<{address}>"])


def _is_plain(text: str) -> bool:
    return bool(_WORDS.fullmatch(text)) and "=?" not in text and all(len(word) <= _WORD for word in text.split(" "))


def _is_atoms(text: str) -> bool:
    return bool(_ATOMS.fullmatch(text)) and _is_plain(text)


def _is_quotable(text: str) -> bool:
    return not _is_atoms(text) and _is_plain(text) and len(text) <= _WORD // 2


def _phrase(text: str, is_plain: Callable[[str], bool]) -> list[str]:
    return text.split(" ") if is_plain(text) else list(_encoded_words(text))


def _encoded_words(text: str) -> Iterator[str]:
    """RFC 2047, base64, never splitting a character between two words."""
    chunk = b""
    for character in text:
        data = character.encode("utf-8", "replace")
        if len(chunk) + len(data) > _ENCODED_BYTES:
            yield _encoded_word(chunk)
            chunk = b""
        chunk += data
    if chunk:
        yield _encoded_word(chunk)


def _encoded_word(data: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(data).decode()}?="


def _fold(name: str, words: Sequence[str]) -> str:
    lines: list[str] = []
    line = f"{name}:"
    for word in words:
        if line != f"{name}:" and len(line) + 1 + len(word) > _LINE:
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line]) + "\r\n"
