"""What an SMTP answer means for the mail and for its account. Pure; the table is channels.md 2.10 (RFC 5321, 3463, 4954).

Not here: a broken connection, whose meaning depends on how far the mail had come (`transaction`).
"""

import re
from datetime import timedelta
from enum import Enum, auto

__all__ = ["Meaning", "Phase", "enhanced_status", "greylisting_wait", "meaning_of", "spell_code"]

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_AUTHENTICATION = {530, 534, 535, 538}
_THROTTLE_CODES = {421, 432, 454}
_THROTTLES = {(451, "4.7.500"), (452, "4.5.3")}
_GREYLISTING = tuple(timedelta(minutes=minutes) for minutes in (7, 30, 60, 120, 240))


class Phase(Enum):
    """How far the conversation had come when the server answered."""

    CONNECT = auto()
    LOGIN = auto()
    ENVELOPE = auto()
    DATA = auto()


class Meaning(Enum):
    """The reaction an answer asks for."""

    RETRY = auto()
    GREYLISTED = auto()
    ACCOUNT_BUSY = auto()
    AUTH = auto()
    PERMANENT = auto()


def meaning_of(code: int, text: str, phase: Phase) -> Meaning:
    """The reaction to an answer that is not a success. A line that is no SMTP answer (code -1) asks for another connection."""
    enhanced = enhanced_status(text)
    if code in _AUTHENTICATION and phase is not Phase.CONNECT:
        return Meaning.AUTH
    if phase is Phase.LOGIN:
        return Meaning.AUTH if code >= 500 else Meaning.ACCOUNT_BUSY
    if phase is Phase.CONNECT or code < 400 or code in _THROTTLE_CODES or (code, enhanced) in _THROTTLES:
        return Meaning.ACCOUNT_BUSY
    if code >= 500:
        return Meaning.RETRY if enhanced == "5.2.2" else Meaning.PERMANENT
    return Meaning.GREYLISTED if code in {450, 451} and (enhanced == "4.7.1" or "greylist" in text.lower()) else Meaning.RETRY


def enhanced_status(text: str) -> str | None:
    """The RFC 3463 status an answer begins with."""
    match = _ENHANCED.match(text)
    return match[1] if match else None


def spell_code(code: int, text: str) -> str:
    """`550 5.1.1`: the code as it is stored and shown. The rest of an answer can hold addresses and is not."""
    enhanced = enhanced_status(text)
    return f"{code} {enhanced}" if enhanced else str(code)


def greylisting_wait(try_number: int) -> timedelta:
    """When to come back after the `try_number`-th try was greylisted: servers let the same envelope in after some minutes."""
    return _GREYLISTING[min(try_number, len(_GREYLISTING)) - 1]
