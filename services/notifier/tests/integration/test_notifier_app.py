"""The notifier as a whole on SQLite: accounts side by side, states that operators see, the process by itself."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from notifier.accounts import AccountCondition
from notifier.app import Notifier, Surroundings, check_account, migrate, open_store, sending_accounts
from notifier.store.port import Totals
from notifier.testing.store_suite import outbound
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from threadline_events.records import outbound_record
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.leases.leases import Leases
from threadline_runtime.leases.sqlite import SqliteLeaseStore
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_bus
from threadline_runtime.sqlite import SqliteDatabase
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step
from threadline_runtime.testing.fixtures import StartFakeSmtp
from threadline_runtime.testing.ports import LOOPBACK, free_port

pytestmark = pytest.mark.integration

GOOD, BAD = "good-mail", "bad-mail"


def configuration(folder: Path, **servers: dict[str, Any]) -> Path:
    rows = [
        {
            "id": name.replace("_", "-"),
            "channel": "email",
            "brand": "acme",
            "address": f"{name}@acme.test",
            "imap": {"host": "127.0.0.1"},
            "smtp": {"host": "127.0.0.1", "tls": "none", **server},
        }
        for name, server in servers.items()
    ]
    file = folder / "threadline.yaml"
    file.write_text(yaml.safe_dump({"brands": {"acme": {"name": "Acme"}}, "accounts": rows}))
    return file


class Running:
    def __init__(self, notifier: Notifier, bus: SqliteBus, around: Surroundings) -> None:
        self.notifier = notifier
        self.bus = bus
        self.around = around

    async def totals(self, account: str) -> Totals:
        return (await self.around.store.totals()).get(account, Totals())


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[Running]:
    database, bus = (
        SqliteDatabase.open(file.with_name("threadline.db")),
        await SqliteBus.open(SqliteDatabase.open(file.with_name("bus.db"))),
    )
    await migrate(database)
    leases = SqliteLeaseStore(database)
    await leases.migrate()
    metrics = Metrics(CollectorRegistry())
    around = Surroundings(
        bus, FileBlobs.open(file.with_name("blobs")), open_store(database), Leases(leases, "me", time.monotonic, sole=True), metrics
    )
    notifier = Notifier(sending_accounts(load_configuration(file), os.environ), around)
    task = asyncio.create_task(notifier.run())
    try:
        yield Running(notifier, bus, around)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await bus.close()
        await database.close()


async def until(condition: Callable[[], Any], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


async def test_a_failing_account_holds_up_no_other(start_fake_smtp: StartFakeSmtp, tmp_path: Path) -> None:
    """A refused login stops its account, visibly; its messages wait, another account's go."""
    good, bad = start_fake_smtp(), start_fake_smtp(logins={"who": "secret"})
    (tmp_path / "password").write_text("wrong")
    login = {"port": bad.port, "username": "who", "password": f"file:{tmp_path}/password"}
    file = configuration(tmp_path, good_mail={"port": good.port}, bad_mail=login)
    async with running(file) as run:
        for number in range(4):
            for account in (BAD, GOOD):
                message = outbound(f"{account}_{number}", account=account, thread=f"{number}@client.test")
                await run.bus.publish([outbound_record(message)])
        await until(lambda: len(good.received) == 4)
        await until(run.notifier.problems)
        assert list(run.notifier.problems()) == ["bad-mail/sending"]
        assert "refuses the login (535 5.7.8): check username and password" in run.notifier.problems()["bad-mail/sending"]
        await until(lambda: _is_accepted(run, BAD, 4))
        totals = await run.totals(BAD)
        assert (totals.accepted, totals.in_flight, totals.failed) == (4, 4, 0)
    assert bad.received == []


async def _is_accepted(run: Running, account: str, count: int) -> bool:
    return (await run.totals(account)).accepted == count


async def test_a_slow_account_holds_up_no_other(start_fake_smtp: StartFakeSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers takes up its own account's calls only."""
    monkeypatch.setattr("notifier.dispatcher._DRAIN", 0.1)  # the stop at the end need not wait for it
    good, slow = start_fake_smtp(), start_fake_smtp()
    slow.script(*[Step(Fate.STALL_AFTER_DATA)] * 5)
    file = configuration(tmp_path, good_mail={"port": good.port}, bad_mail={"port": slow.port})
    async with running(file) as run:
        for number in range(5):
            await run.bus.publish([outbound_record(outbound(f"bad_{number}", account=BAD, thread=f"{number}@client.test"))])
        await until(lambda: len(slow.received) == 3)  # its three calls at once
        for number in range(20):
            await run.bus.publish([outbound_record(outbound(f"good_{number}", account=GOOD, thread=f"{number % 4}@client.test"))])
        await until(lambda: len(good.received) == 20)
        assert len(slow.received) == 3


async def test_what_waited_is_sent_when_the_server_comes_back(tmp_path: Path, fake_smtp: FakeSmtp, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage fails nothing: the account rests and goes on by itself."""
    monkeypatch.setattr("notifier.domain.backoff._PAUSE", timedelta(milliseconds=50))
    port = free_port()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, fake_smtp.port)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)

    async with running(configuration(tmp_path, good_mail={"port": port})) as run:
        await run.bus.publish([outbound_record(outbound("m_1", account=GOOD))])
        await until(lambda: run.notifier.statuses()[0].condition is AccountCondition.RESTING)
        assert run.notifier.problems()["good-mail/sending"] == f"127.0.0.1:{port} cannot be reached: Connection refused"
        server = await asyncio.start_server(between, LOOPBACK, port)
        await until(lambda: len(fake_smtp.received) == 1)
        await until(lambda: not run.notifier.problems())
        server.close()


async def test_an_account_that_was_taken_out_is_told_while_its_messages_wait(tmp_path: Path) -> None:
    """Nothing is lost by a change of the configuration, and nothing waits in silence."""
    async with running(configuration(tmp_path, bad_mail={"port": free_port()})) as run:
        await run.bus.publish([outbound_record(outbound("m_1", account=BAD))])
        await until(lambda: run.notifier.statuses()[0].condition is AccountCondition.RESTING)
    with capture_logs() as lines:
        async with running(configuration(tmp_path, good_mail={"port": free_port()})) as run:
            await until(lambda: lines)
            assert (await run.totals(BAD)).in_flight == 1
    assert [(line["log_level"], line["account_id"]) for line in lines] == [("error", BAD)]


async def test_metrics_count_states_and_repeats(fake_smtp: FakeSmtp, tmp_path: Path) -> None:
    """threadline_deliveries_total by state; repeats in a counter of their own."""
    fake_smtp.script(Step(Fate.REFUSE_RECIPIENT, "550 5.1.1 unknown"))
    async with running(configuration(tmp_path, good_mail={"port": fake_smtp.port})) as run:
        await run.bus.publish([outbound_record(outbound(f"m_{number}", account=GOOD)) for number in range(3)])
        await until(lambda: len(fake_smtp.received) == 2)

        def sample(name: str, **labels: str) -> float | None:
            return run.around.metrics.registry.get_sample_value(name, {"channel": "email", "account": GOOD, **labels})

        await until(lambda: sample("threadline_deliveries_total", state="sent") == 2)
        assert sample("threadline_deliveries_total", state="failed") == 1
        assert sample("threadline_delivery_repeats_total") in {None, 0}
        assert sample("threadline_delivery_seconds_count") == 2


async def test_check_logs_in_and_sends_nothing(start_fake_smtp: StartFakeSmtp, tmp_path: Path) -> None:
    """What `threadline check` shows of an account: ready, or one line that says what to do."""
    server = start_fake_smtp(logins={"who": "secret"})
    for word in ("secret", "wrong"):
        (tmp_path / word).write_text(word)
    file = configuration(
        tmp_path,
        right={"port": server.port, "username": "who", "password": f"file:{tmp_path}/secret"},
        wrong={"port": server.port, "username": "who", "password": f"file:{tmp_path}/wrong"},
        gone={"port": free_port()},
    )
    blobs = FileBlobs.open(tmp_path / "blobs")
    accounts = sending_accounts(load_configuration(file), os.environ)
    found = [await check_account(one, blobs) for one in accounts]
    assert [one.condition for one in found] == [AccountCondition.READY, AccountCondition.AUTH_FAILED, AccountCondition.RESTING]
    assert found[0].reason is None
    assert "check username and password of smtp" in (found[1].reason or "")
    assert "cannot be reached" in (found[2].reason or "")
    assert server.received == []


@pytest.mark.parametrize(
    ("server", "line"),
    [
        ({"port": 25, "host": "smtp.acme.test"}, "tls: none sends passwords and mails in clear text"),
        ({"port": 25, "username": "who"}, "username goes with password or access_token"),
        ({"port": 25, "pasword": "env:X"}, "password"),
        ({"port": 25, "username": "who", "password": "hunter2"}, "write env:NAME or file:/path"),
        ({"port": 25, "username": "who", "access_token": "hunter2"}, "access_token"),
    ],
)
def test_wrong_settings_are_one_clear_line(tmp_path: Path, server: dict[str, Any], line: str) -> None:
    """File, line and what to write instead; never the secret."""
    with pytest.raises(ConfigurationError) as raised:
        sending_accounts(load_configuration(configuration(tmp_path, good_mail=server)), {})
    assert line in str(raised.value)
    assert "threadline.yaml:" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)


def environment(folder: Path, ops_port: int) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("THREADLINE_")}
    return clean | {
        "THREADLINE_BUS__URL": f"sqlite:///{folder}/bus.db",
        "THREADLINE_DATABASE__URL": f"sqlite:///{folder}/threadline.db",
        "THREADLINE_BLOBS__URL": f"file://{folder}/blobs",
        "THREADLINE_CONFIG": str(folder / "threadline.yaml"),
        "THREADLINE_OPS__PORT": str(ops_port),
    }


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "notifier"], env=environment)


def ready(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


async def test_the_process_by_itself(fake_smtp: FakeSmtp, tmp_path: Path) -> None:
    """`python -m notifier migrate`, then `python -m notifier`: ready, sends, drains on SIGTERM with status 0."""
    configuration(tmp_path, good_mail={"port": fake_smtp.port})
    port = free_port()
    command = [sys.executable, "-m", "notifier"]
    migrated = await asyncio.to_thread(subprocess.run, [*command, "migrate"], env=environment(tmp_path, port), check=False)
    assert migrated.returncode == 0
    process = start(environment(tmp_path, port))
    try:
        await until(lambda: ready(port)[0] == 200, within=20)
        bus = await open_bus(f"sqlite:///{tmp_path}/bus.db", version="test")
        await bus.publish([outbound_record(outbound("m_1", account=GOOD))])
        await until(lambda: len(fake_smtp.received) == 1, within=20)
        await bus.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0


async def test_the_process_says_what_is_wrong(tmp_path: Path) -> None:
    """Bad configuration: one line, status 2."""
    configuration(tmp_path, good_mail={"port": 25, "username": "who", "password": "env:NO_SUCH_VARIABLE"})
    command = [sys.executable, "-m", "notifier"]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment(tmp_path, free_port()), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "NO_SUCH_VARIABLE" in ended.stderr
