"""Who asks, and what they may: the dependencies that every route takes."""

from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from router.api.idempotency import RequestIdentity, identify
from router.api.keys import ApiKey, Scope, digest_of
from router.api.parts import ApiParts
from router.api.problems import Problem, not_found
from router.api.reading import Reading

__all__ = ["Identified", "Identify", "PartsOf", "ReaderKey", "ReadingFor", "WriterKey", "brand_asked", "key_of", "parts_of"]

_BEARER = HTTPBearer(auto_error=False, scheme_name="API key", description="`Authorization: Bearer tl_...`")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_LONGEST = 256


async def parts_of(request: Request) -> ApiParts:
    """The parts of the app that answers. A coroutine, as are all dependencies here: others are called in a thread, which costs more."""
    return _parts(request)


def _parts(request: Request) -> ApiParts:
    return cast(ApiParts, request.app.state.parts)


PartsOf = Annotated[ApiParts, Depends(parts_of)]


async def key_of(parts: ApiParts, secret: str) -> ApiKey | None:
    """The key of a secret, unless it was revoked."""
    if not secret.startswith("tl_") or len(secret) > _LONGEST:
        return None
    key = await parts.singles.keys.one(digest_of(secret))
    return key if key is not None and key.revoked_at is None else None


def _needs(scope: Scope) -> Callable[..., Awaitable[ApiKey]]:
    async def admitted(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)] = None) -> ApiKey:
        if credentials is None:
            raise Problem(401, "no_key", "Give an API key: `Authorization: Bearer tl_...`.", _CHALLENGE)
        key = await key_of(_parts(request), credentials.credentials)
        if key is None:
            raise Problem(401, "bad_key", "This API key is unknown or revoked.", _CHALLENGE)
        if not key.may(scope):
            raise Problem(403, "missing_scope", f"This key lacks the scope {scope.value}.")
        return key

    return admitted


ReaderKey = Annotated[ApiKey, Depends(_needs(Scope.READ))]
WriterKey = Annotated[ApiKey, Depends(_needs(Scope.REPLY))]


async def _reading(request: Request, key: ReaderKey) -> Reading:
    parts = _parts(request)
    return Reading(parts.store, parts.singles, key)


ReadingFor = Annotated[Reading, Depends(_reading)]


def brand_asked(parts: ApiParts, key: ApiKey, brand: str | None) -> str:
    """The brand that a request is about: the one named, else the only one that the key sees. Raises Problem."""
    seen = [one for one in parts.brands if key.sees(one)]
    if brand is not None:
        if brand not in seen:
            raise not_found("brand")
        return brand
    if len(seen) != 1:
        raise Problem(422, "brand_needed", f"Say for which brand: `brand` is one of {', '.join(seen) or 'none that this key sees'}.")
    return seen[0]


_IdempotencyKey = Annotated[str | None, Header(description="The same request under the same key is done once.")]


class Identify:
    """Which request this is, by its Idempotency-Key; taken as a dependency and called with what is asked for."""

    def __init__(self, parts: ApiParts, key: ApiKey, idempotency_key: str | None) -> None:
        self._parts = parts
        self._key = key
        self._header = idempotency_key

    async def __call__(self, action: str, target: str, body: BaseModel | None) -> RequestIdentity:
        """Claim it; raises Problem 422 where the key stands for another request."""
        parts = self._parts
        return await identify(
            parts.idempotency,
            self._key,
            self._header,
            action=action,
            target=target,
            body=body,
            randomness=parts.randomness,
            now=parts.now(),
        )


async def _identify(parts: PartsOf, key: WriterKey, idempotency_key: _IdempotencyKey = None) -> Identify:
    return Identify(parts, key, idempotency_key)


Identified = Annotated[Identify, Depends(_identify)]
