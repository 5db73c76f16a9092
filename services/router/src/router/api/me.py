"""`GET /v1/me`: what the key that asks may see and do."""

from fastapi import APIRouter

from router.api.access import PartsOf, ReaderKey
from router.api.models import Me

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["keys"])


@router.get("/me")
async def get_me(parts: PartsOf, key: ReaderKey) -> Me:
    """The key's name, scopes and brands."""
    brands = tuple(one for one in parts.brands if key.sees(one))
    return Me(key_id=key.key_id, name=key.name, scopes=tuple(sorted(key.scopes)), brands=brands)
