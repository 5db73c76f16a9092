"""Every id of Threadline is made here, and nowhere else.

An id is a prefix and 26 base32 characters of a 128-bit BLAKE2b over length-prefixed parts, so that no two
different lists of parts can be spelled alike. Ids come from what the provider fixed, never from what a parser inferred.
Not here: Kafka keys (`keys`), and ids that a provider gave (they are called `external_id`).
"""

import base64
import hashlib
from collections.abc import Iterable
from functools import lru_cache

__all__ = [
    "command_entry_id",
    "command_id",
    "contact_id",
    "content_key",
    "event_id",
    "link_id",
    "mail_message_id",
    "message_id",
    "polled_intake_id",
    "random_intake_id",
    "raw_mail_message_id",
    "strand_id",
]

Part = str | bytes | int
_USUAL = 320
"""Characters of an identity up to which its contact is remembered: no mail address is longer."""


def _digest(parts: Iterable[Part]) -> bytes:
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(8, "big"))
        h.update(data)
    return h.digest()


def _spell(prefix: str, digest: bytes) -> str:
    return prefix + base64.b32encode(digest)[:26].decode("ascii").lower()


def _make(prefix: str, *parts: Part) -> str:
    return _spell(prefix, _digest(parts))


def message_id(brand: str, channel: str, account_id: str, native_id: str) -> str:
    """The id of a message that a provider named with `native_id`, unique within the account."""
    return _make("m_", brand, channel, account_id, native_id)


def content_key(from_address: str, date: str, subject: str, leaves: Iterable[bytes]) -> bytes:
    """What a mail says, whatever mailbox it lies in: From address, Date, Subject, and each leaf part's decoded bytes."""
    leaf_digests = [hashlib.blake2b(leaf, digest_size=16).digest() for leaf in leaves]
    return _digest([from_address, date, subject, *leaf_digests])


def mail_message_id(brand: str, rfc_message_id: str, content: bytes) -> str:
    """The id of a mail with a Message-ID: the same mail in two mailboxes of a brand is one, a reused Message-ID is not."""
    return _make("m_", brand, "email", rfc_message_id, content)


def raw_mail_message_id(brand: str, account_id: str, raw: bytes) -> str:
    """The id of a mail without a Message-ID."""
    return _make("m_", brand, "email", account_id, raw)


def contact_id(brand: str, identity: str) -> str:
    """One canonical identity within a brand is one contact, for ever."""
    return _contact_id(brand, identity) if len(identity) <= _USUAL else _make("p_", brand, identity)


@lru_cache(maxsize=16_384)  # who writes is looked up many times for each message; a few MB, as none is long
def _contact_id(brand: str, identity: str) -> str:
    return _make("p_", brand, identity)


def strand_id(opening_message_id: str) -> str:
    """A strand, and the conversation it stands for, is named after the message that opened it."""
    return _make("c_", opening_message_id)


def event_id(channel: str, account_id: str, native_id: str, kind: str, revision: Part = "") -> str:
    """The id of an inbound event. `revision` tells edits, receipts and reactions of one message apart."""
    return _make("e_", channel, account_id, native_id, kind, revision)


def polled_intake_id(account_id: str, *position: Part) -> str:
    """A poller's intake: the same position is the same intake, however often it is fetched."""
    return _make("i_", account_id, *position)


def random_intake_id(randomness: bytes) -> str:
    """A webhook's intake, from 16 random bytes."""
    if len(randomness) != 16:
        raise ValueError("an intake id needs 16 random bytes")
    return _spell("i_", randomness)


def command_id(source: str, *parts: Part) -> str:
    """A command's id, from what its source fixed (API key and Idempotency-Key, Slack team, channel and ts, ...)."""
    return _make("k_", source, *parts)


def command_entry_id(command: str) -> str:
    """The id of the one entry that a command leaves."""
    return _make("m_", "command", command)


def link_id(brand: str, one: str, other: str) -> str:
    """The id of the edge between two identities of a brand, in whichever order they are named."""
    low, high = sorted((one, other))
    return _make("l_", brand, low, high)
