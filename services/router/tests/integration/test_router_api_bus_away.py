"""The API while the real bus is away: it says so and when to ask again, and what it refused is nowhere half done."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from router.api.keys import Scope
from router.api.testing import NOW, World
from threadline_events import topics
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_topics import plans_for
from threadline_runtime.bus.port import Bus
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.sqlite import SqliteDatabase
from threadline_runtime.testing.kafka import Kafka, running_kafka
from threadline_runtime.testing.kafka_places import QUICK, make_afresh

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kafka]:
    """A Kafka behind a proxy, for this module alone."""
    with running_kafka(proxied=True) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def _api(folder: Path, bus: Bus) -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    world = await World.open(folder, bus=bus)
    headers = {"Authorization": f"Bearer {await world.key(Scope.REPLY)}"}
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers, timeout=60) as api:
        yield world, api
    await world.close()


async def _refuses_and_then_does_it_once(world: World, api: httpx.AsyncClient, away: contextlib.AbstractContextManager[None]) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    await world.contact("email:ann@y.example", "Ann")
    strand = await world.strand(ann, "Lamp", "email", NOW)
    await world.message(strand, "It is broken", NOW, external_id="lamp@x.example")
    path = f"/v1/conversations/{strand.strand_id}"
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"{path}/replies", {"text": "A new one is coming"}),
        ("POST", f"{path}/notes", {"text": "She is right"}),
        ("PATCH", path, {"assignee": "Mia"}),
        ("POST", "/v1/links", {"one": "email:ann@x.example", "other": "email:ann@y.example", "brand": "acme"}),
    ]
    before = (await api.get(path)).json()
    with away:
        for number, (method, address, body) in enumerate(asked):
            answer = await api.request(method, address, json=body, headers={"Idempotency-Key": f"key-{number}"})
            assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2"), (address, answer.text)
        assert (await api.get(path)).json() == before
        timeline = (await api.get(f"{path}/timeline")).json()["items"]
        assert [entry["text"] for entry in timeline] == ["It is broken"]
    for number, (method, address, body) in enumerate(asked):
        answers = [await api.request(method, address, json=body, headers={"Idempotency-Key": f"key-{number}"}) for _ in range(2)]
        assert {answer.status_code for answer in answers} <= {200, 201, 202}, (address, answers[0].text)
    texts = [entry["text"] for entry in (await api.get(f"{path}/timeline")).json()["items"]]
    assert (texts.count("A new one is coming"), texts.count("She is right")) == (1, 1)
    assert len([record async for record in world.bus.read(topics.OUTBOUND)]) == 1
    commands = [record.headers["ce_id"] async for record in world.bus.read(topics.COMMANDS)]
    assert len(set(commands)) == len(asked), "what the bus took while we no longer waited has the same ids"


@contextlib.contextmanager
def _held(cluster: Kafka) -> Iterator[None]:
    cluster.proxies[0].hold(up=True, down=True)
    try:
        yield
    finally:
        cluster.proxies[0].heal()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None, timeout=10)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_kafka_does_not_answer(cluster: Kafka, tmp_path: Path) -> None:
    """P1, P2: 503 with Retry-After; the same request later is done once."""
    await make_afresh(cluster.url, plans_for(topics.ALL, 2))
    bus = KafkaBus.open(cluster.proxied_url, pace=replace(QUICK, publish_seconds=1.0, request_seconds=5.0))
    await bus.probe()
    async with _api(tmp_path, bus) as (world, api):
        await _refuses_and_then_does_it_once(world, api, _held(cluster))


async def test_the_bus_file_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on the embedded default."""
    monkeypatch.setattr("threadline_runtime.sqlite._BUSY_MS", 1)
    bus = await SqliteBus.open(SqliteDatabase.open(tmp_path / "bus.db"))
    async with _api(tmp_path, bus) as (world, api):
        await _refuses_and_then_does_it_once(world, api, _locked(tmp_path / "bus.db"))
