"""`python -m ingest_email` as an operator starts it: takes mail in, stops on SIGTERM, loses nothing to kill -9."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from threadline_events import topics
from threadline_events.inbound import InboundEvent
from threadline_runtime.bus.sqlite import SqliteBus
from threadline_runtime.sqlite import SqliteDatabase
from threadline_runtime.testing.mail_world import SUPPORT, USERS
from threadline_runtime.testing.ports import free_port

pytestmark = pytest.mark.integration


class Service:
    def __init__(self, folder: Path, imap_port: int, **imap: object) -> None:
        self.folder = folder
        self.ops_port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("THREADLINE_")},
            "THREADLINE_CONFIG": str(folder / "threadline.yaml"),
            "THREADLINE_BUS__URL": f"sqlite:///{folder}/bus.db",
            "THREADLINE_DATABASE__URL": f"sqlite:///{folder}/threadline.db",
            "THREADLINE_BLOBS__URL": f"file://{folder}/blobs",
            "THREADLINE_OPS__PORT": str(self.ops_port),
            "SUPPORT_PASSWORD": USERS[SUPPORT],
        }
        login = {"host": "127.0.0.1", "port": imap_port, "tls": "none", "username": SUPPORT, "password": "env:SUPPORT_PASSWORD"}
        account = {
            "id": "support-mail",
            "channel": "email",
            "brand": "acme",
            "address": SUPPORT,
            "imap": {**login, "start_at": "all", **imap},
        }
        (folder / "threadline.yaml").write_text(yaml.safe_dump({"brands": {"acme": {"name": "Acme"}}, "accounts": [account]}))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingest_email"], env={**self.environment, **more}, stdout=log, stderr=log
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ingest_email", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def subjects(self) -> list[str | None]:
        return asyncio.run(self._subjects())

    async def _subjects(self) -> list[str | None]:
        bus = await SqliteBus.open(SqliteDatabase.open(self.folder / "bus.db"))
        try:
            return [InboundEvent.model_validate_json(record.value or b"").subject async for record in bus.read(topics.INBOUND)]
        finally:
            await bus.close()

    def until_subjects(self, count: int) -> list[str | None]:
        deadline = time.monotonic() + 30
        while len(set(found := self.subjects())) < count:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)
        return found


@pytest.fixture
def service(tmp_path, mail_world) -> Iterator[Service]:
    one = Service(tmp_path, mail_world.dovecot.ports.imap)
    assert one.run("migrate").returncode == 0
    yield one
    if one.process is not None and one.process.poll() is None:
        one.end(signal.SIGKILL)


def test_takes_mail_in_and_drains(service, mail, mail_world):
    """P1: started by hand it takes mail in, says so, and ends by SIGTERM with status 0 and no process left."""
    mail_world.dovecot.append(SUPPORT, "INBOX", mail(1))
    service.start()
    service.until_subjects(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{service.ops_port}/metrics", timeout=5) as answer:
        assert b'threadline_intakes_total{account="support-mail",channel="email"} 1.0' in answer.read()
    assert service.end(signal.SIGTERM) == 0
    log = (service.folder / "log").read_text()
    assert "client.test" not in log
    assert "Order" not in log


def test_kill_between_publish_and_checkpoint(service, mail, mail_world):
    """P1, P2: killed there and started again (it waits until the dead holder is silent), every mail is on the bus."""
    for number in range(3):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
    service.start(THREADLINE_TEST_BUILD="1", THREADLINE_FAILPOINTS="connectors.poller.before_checkpoint=kill")
    assert service.process is not None
    assert service.process.wait(30) == -signal.SIGKILL
    service.start()
    assert set(service.until_subjects(3)) == {"Order 0", "Order 1", "Order 2"}


def test_wrong_configuration_is_one_line(service):
    """A mistake is named with file, line and the right key; status 2."""
    text = (service.folder / "threadline.yaml").read_text()
    (service.folder / "threadline.yaml").write_text(text.replace("start_at:", "strat_at:"))
    ended = service.run()
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "threadline.yaml:" in ended.stderr
    assert "start_at" in ended.stderr


def test_wrong_use_is_one_line(service):
    """An unknown verb is answered by the usage."""
    ended = service.run("explode")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
