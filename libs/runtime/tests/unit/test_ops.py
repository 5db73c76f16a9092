"""`/livez`, `/readyz`, `/metrics`: who asks learns what is wrong."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry
from threadline_runtime.bus.port import DeadLetter, PartitionProgress, Position, Received
from threadline_runtime.consumer_watch import WatchedConsumers
from threadline_runtime.errors import TransientError
from threadline_runtime.health import Health, LoopBeat
from threadline_runtime.metrics import Metrics
from threadline_runtime.ops import ops_app

_NOW = datetime(2026, 11, 24, tzinfo=UTC)


class _Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def _client(health: Health, registry: CollectorRegistry) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(ops_app(health, registry)), base_url="http://ops")


async def test_ready_when_every_check_is_well_and_not_while_draining() -> None:
    health = Health()

    async def fine() -> None:
        return None

    health.add_probe("bus", fine)
    async with _client(health, CollectorRegistry()) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": {"bus": "ok"}})
        health.drain()
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["process"]) == (503, "draining")
        assert (await client.get("/livez")).status_code == 200


async def test_each_failing_check_is_named_with_its_reason_and_no_foreign_text() -> None:
    health = Health()

    async def full() -> None:
        raise TransientError("disk full: free space for /data/bus.db")

    async def defect() -> str | None:
        raise KeyError("ann@customer.example")

    async def account() -> str | None:
        return "support-mail: wrong password"

    health.add_probe("bus", full)
    health.add_readiness("defect", defect)
    health.add_readiness("accounts", account)
    async with _client(health, CollectorRegistry()) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "bus": "disk full: free space for /data/bus.db",
        "defect": "KeyError",
        "accounts": "support-mail: wrong password",
    }


async def test_a_check_that_is_added_while_another_answers_breaks_no_answer() -> None:
    """A process that is still starting is asked, too."""
    health = Health()

    async def slow() -> None:
        await asyncio.sleep(0)
        health.add_readiness("later", slow)

    health.add_readiness("first", slow)
    assert await health.readiness() == {"first": None}


async def test_not_alive_when_the_loop_stood_still() -> None:
    clock, health = _Clock(), Health()
    beat = LoopBeat(clock)
    health.add_liveness("loop", beat.liveness)
    async with _client(health, CollectorRegistry()) as client:
        beat.beat()
        assert (await client.get("/livez")).json() == {"alive": True, "checks": {"loop": "ok"}}
        clock.time += 30
        answer = await client.get("/livez")
        assert (answer.status_code, answer.json()["checks"]["loop"]) == (503, "the event loop stood still for 30 s")


async def test_a_consumer_that_waits_is_not_ready_and_one_that_is_silent_is_not_alive() -> None:
    """A bus that is down never restarts the process: retrying is a sign of life."""
    clock = _Clock()
    watch = WatchedConsumers(Metrics(CollectorRegistry()), clock, {})
    watch.polled("router.pipeline")
    watch.retrying("router.pipeline", "TransientError")
    assert await watch.readiness() == "router.pipeline waits: TransientError"
    clock.time += 599
    assert watch.liveness() is None
    watch.batch_done("router.pipeline", 3, 0.1)
    assert await watch.readiness() is None
    clock.time += 601
    assert watch.liveness() == "no sign of router.pipeline"


async def test_a_consumer_that_looks_for_records_again_does_not_wait_any_more() -> None:
    """After an outage of the bus a topic may stay empty for hours; the process is ready all the same."""
    watch = WatchedConsumers(Metrics(CollectorRegistry()), _Clock(), {})
    watch.retrying("router.commands", "TransientError")
    watch.retrying("router.pipeline", "TransientError")
    watch.polled("router.commands")
    assert await watch.readiness() == "router.pipeline waits: TransientError"


async def test_the_metrics_have_the_names_of_the_interface() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.built("router", "0.1.0")
    metrics.intakes.labels("email", "support-mail").inc()
    metrics.rejected.labels("email", "support-mail", "too_large").inc(2)
    metrics.deliveries.labels("email", "support-mail", "sent").inc()
    metrics.source_lag.labels("support-mail").set(1.5)
    metrics.timeline_latency.labels("email", "support-mail").observe(0.02)
    metrics.webhook_seconds.labels("whatsapp", "200").observe(0.01)
    old = _NOW - timedelta(seconds=90)
    metrics.progressed("g", [PartitionProgress("t", 0, 4, 9, old), PartitionProgress("t", 1, 2, 2, None)], _NOW)
    watch = WatchedConsumers(metrics, _Clock(), {"support-mail": "email"})
    headers = {"ce_account": b"support-mail", "ce_channel": b"email"}
    watch.dead_lettered("g", Received(Position("t", 0, 1), _NOW, None, None, (), headers), DeadLetter("ValueError", "x", 1))
    watch.batch_done("g", 1, 0.1)
    async with _client(Health(), registry) as client:
        text = (await client.get("/metrics")).text
    for line in (
        'threadline_build_info{service="router",version="0.1.0"} 1.0',
        'threadline_intakes_total{account="support-mail",channel="email"} 1.0',
        'threadline_events_rejected_total{account="support-mail",channel="email",reason="too_large"} 2.0',
        'threadline_events_dead_lettered_total{account="support-mail",channel="email",reason="ValueError"} 1.0',
        'threadline_deliveries_total{account="support-mail",channel="email",state="sent"} 1.0',
        'threadline_source_lag_seconds{account="support-mail"} 1.5',
        'threadline_consumer_lag{group="g",partition="0",topic="t"} 5.0',
        'threadline_oldest_unprocessed_seconds{group="g",topic="t"} 90.0',
        'threadline_batch_seconds_count{group="g"} 1.0',
    ):
        assert line in text, line


def test_what_a_foreign_record_says_in_its_headers_becomes_no_label() -> None:
    """Section 4: labels never hold a person's data, and nobody but the operator can make new ones."""
    registry = CollectorRegistry()
    watch = WatchedConsumers(Metrics(registry), _Clock(), {"support-mail": "email"})
    for account in (b"ann@client.test", b"\xff", b""):
        headers = {"ce_account": account, "ce_channel": b"ann"}
        watch.dead_lettered("g", Received(Position("t", 0, 1), _NOW, None, None, (), headers), DeadLetter("ValueError", "x", 1))
    labels = {"account": "", "channel": "", "reason": "ValueError"}
    assert registry.get_sample_value("threadline_events_dead_lettered_total", labels) == 3


@pytest.mark.parametrize("name", ["audit_missing", "delivery_seconds", "timeline_latency_seconds", "webhook_request_seconds"])
def test_other_names_are_declared(name: str) -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    assert "threadline_" + name in {metric.name for metric in registry.collect()}


async def test_what_goes_away_and_comes_back_is_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5: an outage is visible in the log, and its end, too."""
    health, reason = Health(), [None, "Kafka cannot be read now", "Kafka cannot be read now", "no answer within 3 s", None]
    said, asked_all = iter(reason), asyncio.Event()

    async def bus() -> None:
        text = next(said, "")
        if text == "":
            asked_all.set()
        if text:
            raise TransientError(text)

    health.add_probe("bus", bus)
    monkeypatch.setattr("threadline_runtime.health._TELL_SECONDS", 0)
    with structlog.testing.capture_logs() as lines:
        telling = asyncio.create_task(health.tell())
        await asyncio.wait_for(asked_all.wait(), 5)
        telling.cancel()
    assert [(line["event"], line["check"], line.get("reason")) for line in lines] == [
        ("not ready", "bus", "Kafka cannot be read now"),
        ("not ready", "bus", "no answer within 3 s"),
        ("ready again", "bus", None),
    ]
