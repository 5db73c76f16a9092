"""P3: the whole router on one bus; the audit joins what was taken in with what became of it, and notices what is lost."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from router.app import migrate
from router.audit import AuditReport
from router.consuming import GROUPS
from router.self_check import SelfCheck
from router.testing.desk import mail
from router.testing.small_shop import router_on
from threadline_events import topics
from threadline_events.intakes import Intake
from threadline_events.records import inbound_record, intake_record
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.errors import ConfigurationError, TransientError
from threadline_runtime.sqlite import SqliteDatabase

CONFIGURATION = """
brands:
  acme: {name: Acme, reopen_within_days: 14}
accounts:
  - {id: support-mail, channel: email, brand: acme, address: support@acme.test}
  - {id: form-mail, channel: email, brand: acme, address: form@acme.test, form: true}
"""
NOW = datetime.now(UTC)


def taken(event, raw: bytes = b"raw", count: int = 1, **more) -> Intake:
    return Intake(
        intake_id=event.intake_id,
        event_count=count,
        channel="email",
        account_id=event.account_id,
        brand="acme",
        received_at=NOW - timedelta(hours=1),
        origin="poll",
        media_type="message/rfc822",
        raw=raw,
        **more,
    )


def fresh(name: str, **more):
    return mail(name, **more).model_copy(update={"received_at": NOW - timedelta(hours=1), "occurred_at": NOW - timedelta(hours=1)})


@pytest.fixture
async def router(tmp_path):
    database = SqliteDatabase.open(":memory:")
    await migrate(database)
    bus = await SqliteBus.open(SqliteDatabase.open(":memory:"), version="test", now=lambda: NOW - timedelta(hours=1))
    made = router_on(bus, database, tmp_path, CONFIGURATION)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await bus.close()
    await database.close()


async def passed(router, *only: str) -> None:
    """Until every group has passed everything, or those of some topics."""
    while True:
        parts = [p for topic in only or GROUPS for p in await router.bus.progress(GROUPS[topic], [topic])]
        if parts and all(p.committed >= p.end for p in parts):
            return
        await asyncio.sleep(0.005)


async def publish(router, event, raw: bytes = b"raw") -> None:
    await router.bus.publish([inbound_record(event)], then=[intake_record(taken(event, raw))])


async def test_what_was_taken_in_is_accounted_for(router):
    one, again = fresh("m1"), fresh("m1", account="form-mail", intake="i_2")
    await publish(router, one, raw=b"x" * 70_000)
    await passed(router)
    await publish(router, again)
    await router.bus.publish([intake_record(taken(fresh("bad"), count=0, outcome="rejected", reason="timeout"))])
    await passed(router)
    report = await router.audit.run(NOW)

    found = {a.account_id: a for a in report.accounts}
    assert report.missing == 0
    assert (found["support-mail"].intakes, found["support-mail"].events) == (2, 1)
    assert dict(found["support-mail"].outcomes) == {"stored": 1, "rejected(timeout)": 1}
    assert dict(found["form-mail"].outcomes) == {"duplicate": 1}
    assert (await router.consumers.journal._store.intake("i_m1")).blob == "raw/i_m1"


async def test_an_event_that_cannot_be_read_is_a_dead_letter_with_an_outcome(router):
    """P8: by its headers alone."""
    event = fresh("m1")
    record = inbound_record(event)
    broken = type(record)(record.topic, record.key, b"{not json", record.headers)
    await router.bus.publish([broken], then=[intake_record(taken(event))])
    await publish(router, fresh("m2"))
    await passed(router)
    report = await router.audit.run(NOW)

    (account,) = report.accounts
    assert account.missing == 0
    assert account.outcomes["stored"] == 1
    assert sum(n for name, n in account.outcomes.items() if name.startswith("dead-lettered")) == 1
    dead = [r async for r in router.bus.read(topics.dead_letter_topic(topics.INBOUND))]
    assert [d.value for d in dead] == [b"{not json"]
    labels = {"channel": "email", "account": "support-mail", "reason": "ValidationError"}
    counted = router.metrics.registry.get_sample_value("threadline_events_dead_lettered_total", labels)
    assert counted is None, "the runtime counts it, for every consumer; the second count would be a lie"


@pytest.mark.parametrize("index", [b"9" * 5000, b"9" * 30, b"-1", b"\xff", "²".encode(), b"1_0", b""])
async def test_no_header_of_an_unreadable_record_holds_up_the_rest(router, index):
    """P8: what a foreign record claims about its intake is believed only where a store can hold it."""
    headers = (("ce_intakeid", b"i_foreign"), ("ce_intakeindex", index), ("ce_account", b"\xff\x00"))
    await router.bus.publish_raw([RawRecord(topics.INBOUND, b"k", b"{", headers)])
    await publish(router, fresh("m1"))
    async with asyncio.timeout(20):
        await passed(router)

    assert (await router.audit.run(NOW)).accounts[0].outcomes["stored"] == 1
    assert len([r async for r in router.bus.read(topics.dead_letter_topic(topics.INBOUND))]) == 1


async def test_a_lost_event_is_missing_once_it_can_no_longer_be_on_its_way(router):
    await router.bus.publish([intake_record(taken(fresh("lost")))])
    await passed(router)

    (early,) = (await router.audit.run(NOW - timedelta(minutes=55))).accounts
    (late,) = (await router.audit.run(NOW)).accounts
    assert (early.pending, early.missing) == (1, 0)
    assert (late.pending, late.missing, late.lost) == (0, 1, ["i_lost/0"])


async def test_the_router_shows_by_itself_what_is_lost(router):
    """P3: also where nobody asks."""
    await router.bus.publish([intake_record(taken(fresh("lost")))])
    await passed(router)
    await router.self_check.look()

    assert router.metrics.registry.get_sample_value("threadline_audit_missing") == 1


@pytest.mark.parametrize(
    "mistake", [TransientError("the bus is away"), ValueError("a document nobody can read"), ConfigurationError("the file is damaged")]
)
async def test_a_look_that_fails_is_repeated_soon_and_ends_no_router(router, mistake):
    """P8: who only reads the books never stops those who write them."""
    pauses: list[float] = []
    answers = iter([mistake, None, asyncio.CancelledError()])

    class Books:
        async def run(self, now, *, since, rest):
            if (error := next(answers)) is not None:
                raise error
            return AuditReport(())

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with pytest.raises(asyncio.CancelledError):
        await SelfCheck(Books(), router.metrics, lambda: NOW, sleep=sleep).run()
    assert pauses == [60.0, 3600.0]


async def test_a_look_leaves_the_database_to_others_most_of_the_time(router):
    """Nine parts in ten, however long a page takes, and never for so long that a cursor is forgotten."""
    took = iter([0.0, 0.5, 4.5, 100.0, 130.0, 1800.0, 1800.0])
    pauses: list[float] = []

    class Books:
        async def run(self, now, *, since, rest):
            for _ in range(3):
                await rest()
            return AuditReport(())

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    await SelfCheck(Books(), router.metrics, lambda: NOW, sleep=sleep, clock=lambda: next(took)).look()
    assert pauses == [4.5, 30.0, 30.0]


async def test_each_page_of_an_audit_is_followed_by_a_rest(router):
    for each in range(3):
        await publish(router, fresh(f"m{each}"))
    await passed(router)
    rests = 0

    async def rest() -> None:
        nonlocal rests
        rests += 1

    report = await router.audit.run(NOW, rest=rest)
    assert report.missing == 0
    assert rests == 3, "a page of intakes, one of entries, one of outcomes"


async def test_an_intake_that_the_journal_has_not_come_to_yet_is_no_loss(router):
    """P3: after an outage the pipeline may be far ahead of the journal, whose records are larger."""
    held, journal = asyncio.Event(), router.consumers.journal
    written = journal._store.add

    async def late(rows):
        await held.wait()
        return await written(rows)

    journal._store.add = late
    await publish(router, fresh("m1"))
    await passed(router, topics.INBOUND)
    behind = await router.audit.run(NOW)
    held.set()
    await passed(router)
    caught_up = await router.audit.run(NOW)

    assert (behind.missing, caught_up.missing) == (0, 0)
    assert [a.outcomes["stored"] for a in caught_up.accounts] == [1]


async def test_an_event_that_no_journalled_intake_explains_fails_the_audit(router):
    await router.bus.publish([inbound_record(fresh("m1"))])
    await passed(router)
    report = await router.audit.run(NOW)

    assert [a.unjournalled for a in report.accounts] == [1]
    assert report.missing == 1


async def test_a_second_intake_of_the_same_event_explains_it(router):
    """A crash before the acknowledgement: the source delivers again, as a new intake."""
    await router.bus.publish([inbound_record(fresh("m1"))])
    await passed(router)
    await publish(router, fresh("m1", intake="i_again"))
    await passed(router)

    assert (await router.audit.run(NOW)).missing == 0


async def test_every_summary_can_be_derived_again(router):
    await publish(router, fresh("m1"))
    await publish(router, fresh("m2", author="bob@client.test"))
    await passed(router)

    assert await router.derive_all() == 2
