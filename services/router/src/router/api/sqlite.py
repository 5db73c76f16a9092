"""The API's stores on SQLite: keys, what each Idempotency-Key stands for, uploads.

Every claim of uniqueness is a primary key. Not here: opening the file.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta

from threadline_events.model import spell_time
from threadline_runtime.sqlite import SqliteDatabase

from router.api.keys import ApiKey, Scope
from router.api.stores import Upload

__all__ = ["SqliteIdempotency", "SqliteKeys", "SqliteUploads", "migrate"]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS router_api_keys (
        digest TEXT PRIMARY KEY, key_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, scopes TEXT NOT NULL, brands TEXT,
        created_at TEXT NOT NULL, revoked_at TEXT) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS router_api_requests (
        claim_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS router_api_requests_at ON router_api_requests (at)",
    """CREATE TABLE IF NOT EXISTS router_api_uploads (
        brand TEXT NOT NULL, sha256 TEXT NOT NULL, key_id TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT NOT NULL,
        file_name TEXT, at TEXT NOT NULL, PRIMARY KEY (sha256, key_id, brand)) WITHOUT ROWID""",
)
_KEPT = timedelta(days=90)
_FORGOTTEN_AT_ONCE = 20


async def migrate(database: SqliteDatabase) -> None:
    """Make the tables where they are missing."""

    def run(connection: sqlite3.Connection) -> None:
        for statement in _TABLES:
            connection.execute(statement)

    await database.write(run)


def _key(row: tuple[str, str, str, str | None, str, str | None]) -> ApiKey:
    key_id, name, scopes, brands, created_at, revoked_at = row
    return ApiKey(
        key_id=key_id,
        name=name,
        scopes=frozenset(Scope(one) for one in json.loads(scopes)),
        brands=None if brands is None else frozenset(json.loads(brands)),
        created_at=datetime.fromisoformat(created_at),
        revoked_at=datetime.fromisoformat(revoked_at) if revoked_at else None,
    )


_KEY_COLUMNS = "key_id, name, scopes, brands, created_at, revoked_at"


class SqliteKeys:
    """`KeyStore` on SQLite."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def add(self, key: ApiKey, digest: str) -> bool:
        """See `KeyStore`."""
        row = (
            digest,
            key.key_id,
            key.name,
            json.dumps(sorted(key.scopes)),
            None if key.brands is None else json.dumps(sorted(key.brands)),
            spell_time(key.created_at),
        )
        return await self._database.write(
            lambda c: (
                c.execute(
                    "INSERT INTO router_api_keys (digest, key_id, name, scopes, brands, created_at) VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT DO NOTHING",
                    row,
                ).rowcount
                == 1
            )
        )

    async def by_digests(self, digests: Iterable[str]) -> dict[str, ApiKey]:
        """See `KeyStore`."""
        wanted = json.dumps(list(digests))
        statement = f"SELECT digest, {_KEY_COLUMNS} FROM router_api_keys WHERE digest IN (SELECT value FROM json_each(?))"  # noqa: S608
        rows = await self._database.look(lambda c: c.execute(statement, (wanted,)).fetchall())
        return {digest: _key(row) for digest, *row in rows}

    async def list_keys(self) -> tuple[ApiKey, ...]:
        """See `KeyStore`."""
        rows = await self._database.read(
            lambda c: c.execute(f"SELECT {_KEY_COLUMNS} FROM router_api_keys ORDER BY created_at, key_id").fetchall()  # noqa: S608
        )
        return tuple(_key(row) for row in rows)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """See `KeyStore`."""
        return await self._database.write(
            lambda c: (
                c.execute(
                    "UPDATE router_api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE key_id = ?", (spell_time(at), key_id)
                ).rowcount
                == 1
            )
        )


class SqliteIdempotency:
    """`IdempotencyStore` on SQLite. Claims are kept 90 days; each new one forgets a few old ones, so no sweep is needed."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def claim(self, claim_id: str, fingerprint: str, at: datetime) -> str:
        """See `IdempotencyStore`."""

        def run(connection: sqlite3.Connection) -> str:
            connection.execute(
                "INSERT INTO router_api_requests (claim_id, fingerprint, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (claim_id, fingerprint, spell_time(at)),
            )
            connection.execute(
                "DELETE FROM router_api_requests WHERE claim_id IN "
                "(SELECT claim_id FROM router_api_requests WHERE at < ? ORDER BY at LIMIT ?)",
                (spell_time(at - _KEPT), _FORGOTTEN_AT_ONCE),
            )
            row = connection.execute("SELECT fingerprint FROM router_api_requests WHERE claim_id = ?", (claim_id,)).fetchone()
            return str(row[0]) if row else fingerprint

        return await self._database.write(run)


def _upload(row: tuple[str, str, str, int, str, str | None, str]) -> Upload:
    brand, sha256, key_id, size, media_type, file_name, at = row
    return Upload(brand, sha256, key_id, size, media_type, file_name, datetime.fromisoformat(at))


class SqliteUploads:
    """`UploadStore` on SQLite."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def add(self, upload: Upload) -> None:
        """See `UploadStore`."""
        row = (upload.brand, upload.sha256, upload.key_id, upload.size, upload.media_type, upload.file_name, spell_time(upload.at))
        await self._database.write(
            lambda c: c.execute(
                "INSERT OR REPLACE INTO router_api_uploads (brand, sha256, key_id, size, media_type, file_name, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        )

    async def uploads(self, brand: str, sha256s: Iterable[str]) -> tuple[Upload, ...]:
        """See `UploadStore`."""
        wanted = json.dumps(sorted(set(sha256s)))
        rows = await self._database.read(
            lambda c: c.execute(
                "SELECT brand, sha256, key_id, size, media_type, file_name, at FROM router_api_uploads "
                "WHERE sha256 IN (SELECT value FROM json_each(?)) AND brand = ? ORDER BY at",
                (wanted, brand),
            ).fetchall()
        )
        return tuple(_upload(row) for row in rows)

    async def brands_uploaded_to(self, key_id: str, sha256: str) -> frozenset[str]:
        """See `UploadStore`."""
        rows = await self._database.read(
            lambda c: c.execute("SELECT brand FROM router_api_uploads WHERE sha256 = ? AND key_id = ?", (sha256, key_id)).fetchall()
        )
        return frozenset(str(row[0]) for row in rows)
