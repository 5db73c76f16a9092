"""API keys: `tl_...`, known by the hash of their secret, with scopes and brands.

The secret is 256 random bits, so one SHA-256 is enough: nobody can guess what it is the hash of.
Not here: where keys are kept (`KeyStore` adapters), and the command that makes them.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from threadline_events.commands import Actor
from threadline_events.evidence import Evidence
from threadline_runtime.errors import ConfigurationError

__all__ = ["ApiKey", "KeyStore", "Scope", "digest_of", "ensure_first_key", "new_key", "refuse_weak_key"]

_FIRST = "key_first"
_SECRET = re.compile(r"tl_[A-Za-z0-9_-]{32,128}")
Randomness = Callable[[int], bytes]


class Scope(StrEnum):
    """What a key may do. `reply` includes `read`, `admin` includes both."""

    READ = "read"
    REPLY = "reply"
    ADMIN = "admin"


_INCLUDES = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.REPLY: frozenset({Scope.READ, Scope.REPLY}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `brands` is None where it may see every brand."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    brands: frozenset[str] | None
    created_at: datetime
    revoked_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the key has `scope`, by itself or by one that includes it."""
        return any(scope in _INCLUDES[own] for own in self.scopes)

    def sees(self, brand: str) -> bool:
        """Whether the key may see `brand`."""
        return self.brands is None or brand in self.brands

    def actor(self) -> Actor:
        """The key as the author of a command."""
        return Actor(identity=f"key:{self.key_id}", display_name=self.name, evidence=Evidence.EXPLICIT)


class KeyStore(Protocol):
    """Where keys are kept. `digest` is the claim: the same secret twice is one key; so is the same `key_id`."""

    async def add(self, key: ApiKey, digest: str) -> bool:
        """Keep a new key; False where its digest or its id is known already."""
        ...

    async def by_digests(self, digests: Iterable[str]) -> dict[str, ApiKey]:
        """Those that there are of any number of keys, by the digest of their secret, revoked ones too; one read."""
        ...

    async def list_keys(self) -> tuple[ApiKey, ...]:
        """All keys, oldest first."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Take a key back for good; False where there is no such key."""
        ...


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(
    name: str, scopes: Iterable[Scope], brands: Iterable[str] | None, *, randomness: Randomness, now: datetime
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown once and kept nowhere."""
    secret = "tl_" + urlsafe_b64encode(randomness(32)).rstrip(b"=").decode()
    return _key_of(secret, name, scopes, brands, now), secret


def _key_of(secret: str, name: str, scopes: Iterable[Scope], brands: Iterable[str] | None, now: datetime) -> ApiKey:
    return ApiKey(
        key_id="key_" + digest_of(secret)[:12],
        name=name,
        scopes=frozenset(scopes),
        brands=None if brands is None else frozenset(brands),
        created_at=now,
    )


def refuse_weak_key(wanted: str | None) -> None:
    """Raise ConfigurationError where the operator's own choice of the first key could be guessed."""
    if wanted is not None and not _SECRET.fullmatch(wanted):
        raise ConfigurationError("THREADLINE_API__FIRST_KEY must be tl_ and 32 to 128 letters, digits, - or _")


async def ensure_first_key(store: KeyStore, wanted: str | None, *, random: bytes, now: datetime) -> str | None:
    """Make the first key of an installation and answer its secret; None where a key exists already.

    `wanted` is the operator's own choice (`THREADLINE_API__FIRST_KEY`); raises ConfigurationError where it is too weak. `random`:
    32 bytes, the same however often it is tried again, or a key whose storing was not confirmed is never shown.
    """
    refuse_weak_key(wanted)
    if wanted is None:
        key, secret = new_key("first key", [Scope.ADMIN], None, randomness=lambda _: random, now=now)
    else:
        key, secret = _key_of(wanted, "first key", [Scope.ADMIN], None, now), wanted
    if await store.list_keys():
        # Ours where an attempt before this one was stored and not told so.
        return secret if wanted is None and await store.by_digests([digest_of(secret)]) else None
    # Its id is the claim: of several processes that start at once, one makes it.
    made = await store.add(replace(key, key_id=_FIRST), digest_of(secret))
    return secret if made else None
