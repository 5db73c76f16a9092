"""`kill -9` between every pair of steps: every mail arrives, and what arrives twice is a counted repeat under one Message-ID."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from email import message_from_bytes
from pathlib import Path

import notifier
import pytest
import yaml
from notifier.domain.delivery import DeliveryId
from notifier.store.sqlite import SqliteDeliveryStore
from notifier.testing.store_suite import outbound
from threadline_events import topics
from threadline_events.deliveries import DeliveryUpdated, parse_delivery
from threadline_events.outbound import OutboundMessage
from threadline_events.records import outbound_record
from threadline_events.states import DeliveryRank
from threadline_runtime.failpoints import all_failpoints
from threadline_runtime.opening import open_bus, open_database
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step

pytestmark = [pytest.mark.faults, pytest.mark.integration]

PLACES = all_failpoints([Path(notifier.__file__).parent])
PROCESS = Path(__file__).with_name("notifier_process.py")
AFTER_CRASH = {"notifier.calling.before_resolve", "notifier.calling.after_resolve"}
MESSAGES = (outbound("m_1"), outbound("m_2"), outbound("m_3", thread="zoe@client.test"))


class Folder:
    """A data folder and the processes that run on it, one at a time."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        account = {
            "id": "support-mail",
            "channel": "email",
            "brand": "acme",
            "address": "support@acme.test",
            "smtp": {"host": "127.0.0.1", "port": port, "tls": "none"},
        }
        (path / "threadline.yaml").write_text(yaml.safe_dump({"brands": {"acme": {"name": "Acme"}}, "accounts": [account]}))

    def start(self, failpoints: str = "") -> subprocess.Popen[bytes]:
        environment = os.environ | {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": failpoints}
        environment["THREADLINE_FAILPOINTS_LOG"] = str(self.path / "passed.log")
        return subprocess.Popen([sys.executable, PROCESS, self.path], env=environment)

    @property
    def passed(self) -> set[str]:
        log = self.path / "passed.log"
        return set(log.read_text().split()) if log.exists() else set()

    async def publish(self, messages: Sequence[OutboundMessage]) -> None:
        bus = await open_bus(f"sqlite:///{self.path}/bus.db", version="test")
        await bus.publish([outbound_record(message) for message in messages])
        await bus.close()

    async def reports(self) -> list[DeliveryUpdated]:
        bus = await open_bus(f"sqlite:///{self.path}/bus.db", version="test")
        found = [parse_delivery(record.value or b"") async for record in bus.read(topics.DELIVERIES)]
        await bus.close()
        return [report for report in found if isinstance(report, DeliveryUpdated)]

    async def settled(self, messages: Sequence[OutboundMessage]) -> bool:
        database = open_database(f"sqlite:///{self.path}/threadline.db")
        store = SqliteDeliveryStore(database)
        try:
            await store.migrate()
            found = [await store.find(DeliveryId(one.message_id, one.attempt)) for one in messages]
            return all(one is not None and not one.is_open for one in found)
        finally:
            await database.close()

    async def repeats(self) -> int:
        database = open_database(f"sqlite:///{self.path}/threadline.db")
        try:
            return (await SqliteDeliveryStore(database).totals())["support-mail"].repeated
        finally:
            await database.close()

    async def run_to_the_end(self, messages: Sequence[OutboundMessage]) -> None:
        process = self.start()
        try:
            for _ in range(300):
                if await self.settled(messages):
                    break
                assert process.poll() is None
                await asyncio.sleep(0.05)
        finally:
            process.terminate()
            assert await asyncio.to_thread(process.wait, 30) == 0


async def killed(process: subprocess.Popen[bytes]) -> bool:
    """Whether the failpoint was met; a process that met none is ended."""
    try:
        await asyncio.to_thread(process.wait, 6)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
        return False
    return process.returncode == -9


@pytest.mark.parametrize("place", PLACES)
async def test_a_kill_loses_and_doubles_nothing(place: str, tmp_path: Path, fake_smtp: FakeSmtp) -> None:
    """P2, P3, P4, at each place that the code has."""
    folder = Folder(tmp_path, fake_smtp.port)
    fake_smtp.script(Step(Fate.REFUSE_RECIPIENT, "451 4.3.0 try again"))
    await folder.publish(MESSAGES)
    if place in AFTER_CRASH:
        assert await killed(folder.start("notifier.calling.after_open=kill"))
    assert await killed(folder.start(f"{place}=kill"))
    await folder.run_to_the_end(MESSAGES)

    arrived = Counter(message_from_bytes(mail.data)["Message-ID"] for mail in fake_smtp.received)
    assert set(arrived) == {f"<m_{number}.1@acme.test>" for number in (1, 2, 3)}
    repeated = await folder.repeats()
    assert arrived.total() - 3 <= repeated <= 4  # at most two calls were under way, and a 4xx makes each go once more
    assert len({mail.data for mail in fake_smtp.received}) == 3
    order = [message_from_bytes(mail.data)["Message-ID"] for mail in fake_smtp.received]
    assert order.index("<m_1.1@acme.test>") < order.index("<m_2.1@acme.test>")
    reports = await folder.reports()
    for message in MESSAGES:  # what is recorded of each try is reported, also by whoever comes after the crash
        tries = [report.try_ for report in reports if report.message_id == message.message_id]
        assert sorted(set(tries)) == list(range(1, max(tries) + 1))
    last = {report.message_id: report.state for report in reports}
    assert last == {"m_1": "sent", "m_2": "sent", "m_3": "sent"}
    assert place in folder.passed


async def test_without_a_crash_nothing_is_repeated(tmp_path: Path, fake_smtp: FakeSmtp) -> None:
    """The measure of the test above: three mails, three arrivals, no repeat."""
    folder = Folder(tmp_path, fake_smtp.port)
    await folder.publish(MESSAGES)
    await folder.run_to_the_end(MESSAGES)
    assert len(fake_smtp.received) == 3
    assert await folder.repeats() == 0
    assert {report.state for report in await folder.reports()} == {DeliveryRank.SENT.state}


async def test_a_silent_server_gets_the_same_mail_once_more(tmp_path: Path, fake_smtp: FakeSmtp) -> None:
    """P4: the connection drops after the content; repeated once under the same Message-ID, counted, and no more."""
    folder = Folder(tmp_path, fake_smtp.port)
    fake_smtp.script(Step(Fate.DROP_AFTER_DATA))
    await folder.publish(MESSAGES[:1])
    await folder.run_to_the_end(MESSAGES[:1])
    first, second = fake_smtp.received
    assert first.data == second.data
    assert await folder.repeats() == 1
    assert [(report.try_, report.state) for report in await folder.reports()] == [(1, "sending"), (2, "sent")]
