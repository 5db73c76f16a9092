"""Idempotency-Key: one key of one API key means one request, however often it is sent.

What a request asks for is claimed before anything is done, so that the same key with another body is refused (422).
Doing it twice is safe by itself: a command's id comes from the key, and the core finds it decided.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel
from threadline_events import ids

from router.api.keys import ApiKey, Randomness
from router.api.problems import Problem

__all__ = ["IdempotencyStore", "RequestIdentity", "identify"]

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class IdempotencyStore(Protocol):
    """Which request each Idempotency-Key stands for. The first claim stands."""

    async def claim(self, claim_id: str, fingerprint: str, at: datetime) -> str:
        """Claim, and answer the fingerprint that stands."""
        ...


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """What makes two requests the same one: `fingerprint` is what is asked, `source` who asked under which key."""

    source: tuple[str, str]
    fingerprint: str

    def command_id(self, name: str) -> str:
        """The id of the command `name` that this request gives."""
        return ids.command_id("api", *self.source, name)


def _fingerprint(action: str, target: str, body: BaseModel | None) -> str:
    asked = body.model_dump(mode="json", exclude_unset=True) if body is not None else None
    spelled = json.dumps([action, target, asked], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(spelled.encode()).hexdigest()


async def identify(
    store: IdempotencyStore,
    key: ApiKey,
    header: str | None,
    *,
    action: str,
    target: str,
    body: BaseModel | None,
    randomness: Randomness,
    now: datetime,
) -> RequestIdentity:
    """Who asks for what. Without the header each request is its own. Raises Problem 422 where the key stands for another request."""
    fingerprint = _fingerprint(action, target, body)
    if header is None:
        return RequestIdentity((key.key_id, randomness(16).hex()), fingerprint)
    if not _KEY.fullmatch(header):
        raise Problem(422, "bad_idempotency_key", "Idempotency-Key is 1 to 255 visible ASCII characters.")
    identity = RequestIdentity((key.key_id, "key:" + header), fingerprint)
    if await store.claim(identity.command_id("request"), fingerprint, now) != fingerprint:
        raise Problem(422, "idempotency_key_reused", "This Idempotency-Key was used for another request: take a new one.")
    return identity
