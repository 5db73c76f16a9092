"""The API's stores on MongoDB: keys, what each Idempotency-Key stands for, uploads. Their indexes stand in `router.store.mongo_indexes`."""

from collections.abc import Iterable
from datetime import datetime

from pymongo import ASCENDING
from threadline_runtime.mongo import Document, MongoDatabase, compound_id

from router.api.keys import ApiKey, Scope
from router.api.stores import Upload

__all__ = ["MongoIdempotency", "MongoKeys", "MongoUploads"]


class MongoKeys:
    """`KeyStore` on MongoDB."""

    def __init__(self, database: MongoDatabase) -> None:
        self._keys = database.collection("router_api_keys")

    async def add(self, key: ApiKey, digest: str) -> bool:
        """See `KeyStore`."""
        document = {
            "_id": digest,
            "key_id": key.key_id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "brands": None if key.brands is None else sorted(key.brands),
            "created_at": key.created_at,
            "revoked_at": None,
        }
        return not await self._keys.insert([document])

    async def by_digests(self, digests: Iterable[str]) -> dict[str, ApiKey]:
        """See `KeyStore`."""
        return {found["_id"]: _key(found) for found in await self._keys.by_ids(digests)}

    async def list_keys(self) -> tuple[ApiKey, ...]:
        """See `KeyStore`."""
        return tuple(_key(found) for found in await self._keys.find({}, order=[("created_at", ASCENDING), ("key_id", ASCENDING)]))

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """See `KeyStore`."""
        if await self._keys.change({"key_id": key_id, "revoked_at": None}, {"$set": {"revoked_at": at}}):
            return True
        return await self._keys.first({"key_id": key_id}) is not None


class MongoIdempotency:
    """`IdempotencyStore` on MongoDB. An index with an end forgets claims after 90 days."""

    def __init__(self, database: MongoDatabase) -> None:
        self._requests = database.collection("router_api_requests")

    async def claim(self, claim_id: str, fingerprint: str, at: datetime) -> str:
        """See `IdempotencyStore`."""
        if not await self._requests.insert([{"_id": claim_id, "fingerprint": fingerprint, "at": at}]):
            return fingerprint
        found = await self._requests.first({"_id": claim_id})
        return str(found["fingerprint"]) if found else fingerprint


class MongoUploads:
    """`UploadStore` on MongoDB."""

    def __init__(self, database: MongoDatabase) -> None:
        self._uploads = database.collection("router_api_uploads")

    async def add(self, upload: Upload) -> None:
        """See `UploadStore`."""
        fields = {
            "brand": upload.brand,
            "sha256": upload.sha256,
            "key_id": upload.key_id,
            "size": upload.size,
            "media_type": upload.media_type,
            "file_name": upload.file_name,
            "at": upload.at,
        }
        place = compound_id(upload.sha256, upload.key_id, upload.brand)
        await self._uploads.put({"_id": place}, {"$set": fields})

    async def uploads(self, brand: str, sha256s: Iterable[str]) -> tuple[Upload, ...]:
        """See `UploadStore`."""
        where = {"sha256": {"$in": list(sha256s)}, "brand": brand}
        return tuple(_upload(found) for found in await self._uploads.find(where, order=[("at", ASCENDING)]))

    async def brands_uploaded_to(self, key_id: str, sha256: str) -> frozenset[str]:
        """See `UploadStore`."""
        found = await self._uploads.find({"sha256": sha256, "key_id": key_id}, fields=["brand"])
        return frozenset(str(one["brand"]) for one in found)


def _key(found: Document) -> ApiKey:
    return ApiKey(
        key_id=found["key_id"],
        name=found["name"],
        scopes=frozenset(Scope(one) for one in found["scopes"]),
        brands=None if found["brands"] is None else frozenset(found["brands"]),
        created_at=found["created_at"],
        revoked_at=found["revoked_at"],
    )


def _upload(found: Document) -> Upload:
    return Upload(found["brand"], found["sha256"], found["key_id"], found["size"], found["media_type"], found["file_name"], found["at"])
