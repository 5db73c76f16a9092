"""Every story of the unit tests, told once more over MongoDB: what the rules lean on holds there, too."""

import importlib.util
import inspect
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from router.store.mongo import MongoTimeline
from router.testing.desk import Desk
from threadline_runtime.mongo import MongoDatabase
from threadline_runtime.testing.mongodb import database_url

pytestmark = pytest.mark.integration
_STORIES = ("test_router_mail.py", "test_router_commands.py")


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"stories_{name.removesuffix('.py')}", Path(__file__).parents[1] / "unit" / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stories() -> Iterator[Any]:
    for module in map(_loaded, _STORIES):
        for name, story in vars(module).items():
            if name.startswith("test_") and inspect.iscoroutinefunction(story) and not inspect.signature(story).parameters:
                yield pytest.param(module, story, id=name.removeprefix("test_"))


@pytest.mark.parametrize(("module", "story"), list(_stories()))
async def test_the_same_story_over_mongodb(
    module: ModuleType, story: Callable[[], Coroutine[Any, Any, None]], mongodb_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1 to P8, as each story says."""
    opened: list[MongoDatabase] = []

    class MongoDesk(Desk):
        def __post_init__(self) -> None:
            opened.append(MongoDatabase.open(database_url(mongodb_server, f"threadline_test_{uuid.uuid4().hex[:12]}")))
            self.put_together(MongoTimeline(opened[-1]))

    monkeypatch.setattr(module, "Desk", MongoDesk)
    try:
        await story()
    finally:
        for database in opened:
            await database.drop()
            await database.close()
    assert opened
