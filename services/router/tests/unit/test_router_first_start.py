"""The router as its own process: what its start needs of the database is waited for, however often that goes and comes."""

from types import SimpleNamespace

import pytest
from router.__main__ import _tell_first_key
from router.api.sqlite import SqliteKeys, migrate
from threadline_runtime import starting
from threadline_runtime.errors import ConfigurationError, TransientError
from threadline_runtime.health import Health
from threadline_runtime.settings import load_settings
from threadline_runtime.sqlite import MEMORY, SqliteDatabase


class Elsewhere:
    """A database on a server that is there when it is probed and gone when it is used, twice."""

    def __init__(self) -> None:
        self.gone = 2

    async def probe(self) -> None:
        """It answers."""


@pytest.fixture
async def keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(starting, "_FIRST", 0.0)
    database = SqliteDatabase.open(MEMORY)
    await migrate(database)
    yield SqliteKeys(database)
    await database.close()


async def test_a_database_that_goes_again_during_the_start_is_waited_for(keys, monkeypatch, capsys) -> None:
    """P8: no process ends because a server is away; one that ended would be restarted, and again, for as long as that lasts."""
    elsewhere, listed = Elsewhere(), keys.list_keys

    async def list_keys():
        if elsewhere.gone:
            elsewhere.gone -= 1
            raise TransientError("the primary stepped down")
        return await listed()

    monkeypatch.setattr(keys, "list_keys", list_keys)
    base = SimpleNamespace(settings=load_settings(), database=elsewhere, health=Health())
    await _tell_first_key(keys, base)
    assert capsys.readouterr().out.count("the first API key, shown only now: tl_") == 1
    assert await base.health.readiness() == {"start": None}


async def test_a_weak_first_key_is_refused_and_not_waited_with(keys, monkeypatch) -> None:
    monkeypatch.setenv("THREADLINE_API__FIRST_KEY", "tl_weak")
    base = SimpleNamespace(settings=load_settings(), database=Elsewhere(), health=Health())
    with pytest.raises(ConfigurationError, match="THREADLINE_API__FIRST_KEY"):
        await _tell_first_key(keys, base)
