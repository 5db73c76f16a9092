"""The canonical form of every identity: `channel:value`, one spelling a person's address.

A change here is a migration, since contact ids are made from it.
Domains go by IDNA 2008: the older rule maps straße.de to strasse.de, which is another domain.
"""

import re

import idna

__all__ = ["IdentityError", "canonical_identity", "channel_of", "email_identity", "mail_address_of"]

_LOCAL_PART = re.compile(r"[^\s\x00-\x1f\x7f<>()\[\]\\,;:@\"]+", re.UNICODE)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_PHONE_CHANNELS = frozenset({"sms", "whatsapp", "phone"})
_MAX_LENGTH = 512


class IdentityError(ValueError):
    """The value names nobody on that channel."""


def _domain(value: str) -> str:
    try:
        name = value if value.isascii() else idna.encode(value, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise IdentityError("the domain is not a host name") from error
    name = name.lower().rstrip(".")
    if not _HOST.fullmatch(name):
        raise IdentityError("the domain is not a host name")
    return name


def email_identity(address: str) -> str:
    """`email:local@domain`, lower-case, the domain as A-label; dots and plus tags are kept.

    Raises IdentityError where the text is not one plain address.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at or len(address) > _MAX_LENGTH or not _LOCAL_PART.fullmatch(local):
        raise IdentityError("not a mail address")
    return f"email:{local.lower()}@{_domain(domain)}"


def canonical_identity(channel: str, value: str) -> str:
    """The canonical identity of `value` on `channel`; raises IdentityError where it names nobody.

    Phones are E.164 with the plus; two-part values (`team/user`, `page/id`, `account/visitor`) come joined by a slash;
    fediverse names are `user@host`.
    """
    if channel == "email":
        return email_identity(value)
    value = value.strip()
    if not value or len(value) > _MAX_LENGTH or any(c.isspace() or ord(c) < 32 for c in value):
        raise IdentityError(f"not an identity of {channel}")
    if channel in _PHONE_CHANNELS and not _PHONE.fullmatch(value):
        raise IdentityError("not an E.164 number")
    if channel == "mastodon":
        user, _, host = value.lstrip("@").rpartition("@")
        if not user:
            raise IdentityError("not user@host")
        value = f"{user.lower()}@{_domain(host)}"
    return f"{channel}:{value}"


def channel_of(identity: str) -> str:
    """The channel part of a canonical identity."""
    return identity.partition(":")[0]


def mail_address_of(identity: str) -> str | None:
    """The mail address of a canonical identity, None for other channels."""
    channel, _, value = identity.partition(":")
    return value if channel == "email" else None
