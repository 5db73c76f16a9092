"""What only the router signs and verifies: reply addresses, our own Message-IDs, envelope senders, subject tokens.

Spelled in lower-case base32, since addresses lose their case on the way. A valid token proves that an address was seen, not who writes.
Each is signed over its version, the brand and account it was made for, and its ids. Not here: the keys.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from router.domain.policy import Account

__all__ = ["MailSigner", "OwnMessage", "ReplyToken", "Signer", "worth_verifying"]

_VERSION = b"1"
_ID = 26
_MAC = 16
_REPLY = re.compile(rf"r([a-z2-7]{{{_ID}}})([a-z2-7]{{{_MAC}}})")
_BOUNCE = re.compile(rf"b([a-z2-7]{{{_ID}}})([a-z2-7]{{{_MAC}}})([0-9]{{1,4}})")
_OWN = re.compile(rf"tl1\.([a-z2-7]{{{_ID}}})\.([0-9]{{1,4}})\.([a-z2-7]{{{_MAC}}})@(.+)")
_LOCAL_MAX = 64
_LONGEST, _MOST = 320, 12
"""No mail address is longer (RFC 5321); and each signature looked at costs a try of every account and key."""


def worth_verifying(addresses: Iterable[str]) -> list[str]:
    """The first few addresses that are as long as one may be and hold something of a token's shape."""
    likely = (one for one in addresses if len(one) <= _LONGEST and (_REPLY.search(one.lower()) or _BOUNCE.search(one.lower())))
    return list(islice(likely, _MOST))


class Signer(Protocol):
    """A keyed signature of at least 80 bits in lower-case base32; verifying accepts older keys, too."""

    def sign(self, message: bytes) -> str:
        """The signature by the newest key."""
        ...

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether any key made it."""
        ...


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """A verified reply address or subject token: which strand, signed for which brand and account."""

    strand_id: str
    brand: str
    account_id: str


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A verified Message-ID or envelope sender of ours: which message, which attempt."""

    message_id: str
    attempt: int
    brand: str
    account_id: str


def _signed(kind: bytes, account: Account, *parts: str) -> bytes:
    fields = [kind, _VERSION, account.brand.encode(), account.account_id.encode(), *(p.encode() for p in parts)]
    return b"".join(len(f).to_bytes(4, "big") + f for f in fields)


class MailSigner:
    """Makes and verifies all signed names of mail. Verifying tries every account, so that another brand's name is told apart from none."""

    def __init__(self, signer: Signer, accounts: Iterable[Account]) -> None:
        self._signer = signer
        self._accounts = tuple(accounts)

    def _signature(self, kind: bytes, account: Account, *parts: str) -> str:
        return self._signer.sign(_signed(kind, account, *parts))[:_MAC]

    def _account_of(self, kind: bytes, signature: str, *parts: str) -> Account | None:
        return next((a for a in self._accounts if self._signer.verify(_signed(kind, a, *parts), signature)), None)

    def reply_address(self, account: Account, strand_id: str) -> str:
        """`support+TOKEN@domain`; the plain address where the token would make the local part too long."""
        local, _, domain = (account.address or "").rpartition("@")
        name = strand_id.removeprefix("c_")
        signed = f"{local}+r{name}{self._signature(b'reply', account, name)}"
        return f"{signed}@{domain}" if len(signed) <= _LOCAL_MAX else f"{local}@{domain}"

    def subject_token(self, account: Account, strand_id: str) -> str:
        """What stands between `[#` and `]` in a subject."""
        name = strand_id.removeprefix("c_")
        return f"r{name}{self._signature(b'reply', account, name)}"

    def own_message_id(self, account: Account, message_id: str, attempt: int) -> str:
        """Our Message-ID of an attempt, without angle brackets."""
        domain = (account.address or "").rpartition("@")[2]
        name = message_id.removeprefix("m_")
        return f"tl1.{name}.{attempt}.{self._signature(b'own', account, name, str(attempt))}@{domain}"

    def envelope_sender(self, account: Account, message_id: str, attempt: int) -> str:
        """Where bounces of an attempt come back to; the plain address where the token would make it too long."""
        local, _, domain = (account.address or "").rpartition("@")
        name = message_id.removeprefix("m_")
        signed = f"{local}+b{name}{self._signature(b'bounce', account, name, str(attempt))}{attempt}"
        return f"{signed}@{domain}" if len(signed) <= _LOCAL_MAX else f"{local}@{domain}"

    def read_reply(self, token_or_address: str) -> ReplyToken | None:
        """The strand named by a reply address or subject token; None where the signature is not ours."""
        for found in _REPLY.finditer(token_or_address.lower()[:_LONGEST]):
            account = self._account_of(b"reply", found[2], found[1])
            if account is not None:
                return ReplyToken("c_" + found[1], account.brand, account.account_id)
        return None

    def read_envelope(self, address: str) -> OwnMessage | None:
        """The attempt named by an envelope sender of ours."""
        for found in _BOUNCE.finditer(address.lower()[:_LONGEST]):
            account = self._account_of(b"bounce", found[2], found[1], found[3])
            if account is not None:
                return OwnMessage("m_" + found[1], int(found[3]), account.brand, account.account_id)
        return None

    def read_message_id(self, external_id: str) -> OwnMessage | None:
        """The attempt named by a Message-ID of ours. The domain is not looked at: some relays change it."""
        found = _OWN.fullmatch(external_id.strip("<> ").lower())
        if found is None:
            return None
        account = self._account_of(b"own", found[3], found[1], found[2])
        return OwnMessage("m_" + found[1], int(found[2]), account.brand, account.account_id) if account else None
