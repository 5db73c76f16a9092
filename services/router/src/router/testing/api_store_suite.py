"""What every adapter of the API's own stores must do, as tests: subclass `ApiStoreSuite` and give it the fixture `stores`."""

from datetime import UTC, datetime, timedelta

from router.api.keys import ApiKey, Scope
from router.api.stores import Upload
from router.stores import Stores

__all__ = ["ApiStoreSuite"]

_AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


def _key(name: str, minute: int = 0, brands: frozenset[str] | None = None) -> ApiKey:
    return ApiKey(f"key_{name}", name, frozenset({Scope.READ, Scope.REPLY}), brands, _AT + timedelta(minutes=minute))


def _upload(sha256: str, key_id: str = "key_a", brand: str = "acme", minute: int = 0, file_name: str | None = "a.pdf") -> Upload:
    return Upload(brand, sha256, key_id, 7, "application/pdf", file_name, _AT + timedelta(minutes=minute))


class ApiStoreSuite:
    """Behaviour of keys, idempotency and uploads."""

    async def test_a_key_is_found_by_its_digest_as_it_was_made(self, stores: Stores) -> None:
        """Design 12: scopes and brands are the key's; nothing else is known of its secret."""
        some, every = _key("some", brands=frozenset({"acme", "globex"})), _key("every")
        assert await stores.keys.add(some, "d1")
        assert await stores.keys.add(every, "d2")
        assert await stores.keys.by_digests(["d1", "d2", "d3"]) == {"d1": some, "d2": every}

    async def test_one_secret_is_one_key(self, stores: Stores) -> None:
        """The first stands; neither a digest nor an id is given twice."""
        assert await stores.keys.add(_key("a"), "d1")
        assert not await stores.keys.add(_key("b"), "d1")
        assert not await stores.keys.add(_key("a"), "d2")
        assert [key.name for key in await stores.keys.list_keys()] == ["a"]

    async def test_keys_are_listed_oldest_first_and_revoked_for_good(self, stores: Stores) -> None:
        """A key that was taken back stays so, with the time at which it first was."""
        await stores.keys.add(_key("late", 5), "d1")
        await stores.keys.add(_key("early"), "d2")
        assert [key.name for key in await stores.keys.list_keys()] == ["early", "late"]
        assert await stores.keys.revoke("key_late", _AT)
        assert await stores.keys.revoke("key_late", _AT + timedelta(hours=1))
        assert not await stores.keys.revoke("key_nobody", _AT)
        assert [key.revoked_at for key in await stores.keys.list_keys()] == [None, _AT]

    async def test_the_first_claim_of_an_idempotency_key_stands(self, stores: Stores) -> None:
        """Interface 3: the same key with another body is refused."""
        assert await stores.idempotency.claim("k1", "this", _AT) == "this"
        assert await stores.idempotency.claim("k1", "that", _AT) == "this"
        assert await stores.idempotency.claim("k2", "that", _AT) == "that"

    async def test_uploads_are_told_apart_by_brand_and_key(self, stores: Stores) -> None:
        """Design 12: brand in every query."""
        mine, other = _upload("s1", minute=1), _upload("s1", brand="globex")
        for one in (mine, other, _upload("s2"), _upload("s1", key_id="key_b")):
            await stores.uploads.add(one)
        assert await stores.uploads.uploads("acme", ["s1", "s9"]) == (_upload("s1", key_id="key_b"), mine)
        assert await stores.uploads.brands_uploaded_to("key_a", "s1") == {"acme", "globex"}
        assert await stores.uploads.brands_uploaded_to("key_b", "s1") == {"acme"}
        assert await stores.uploads.brands_uploaded_to("key_b", "s2") == frozenset()

    async def test_the_same_file_again_changes_its_name(self, stores: Stores) -> None:
        """What is uploaded last is what is shown."""
        await stores.uploads.add(_upload("s1"))
        await stores.uploads.add(_upload("s1", file_name=None, minute=3))
        assert await stores.uploads.uploads("acme", ["s1"]) == (_upload("s1", file_name=None, minute=3),)
