"""`threadline up` as a process of its own on free loopback ports, with a client for its API; for end-to-end and fault tests."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from unittest import mock

import httpx
import yaml
from threadline_events.timeline import Conversation, Entry
from threadline_runtime.testing.mail_world import MailWorld
from threadline_runtime.testing.ports import LOOPBACK, free_ports

from threadline_cli.main import run

__all__ = ["FIRST_KEY", "MailAccount", "Standalone", "accounts_file", "threadline", "threadline_here"]

FIRST_KEY = "tl_only_for_tests_only_for_tests_only"
_LOOK_AGAIN_SECONDS = 0.02
T = TypeVar("T")


class MailAccount:
    """A mailbox of the test's mail world as an account of a brand; `changes` are further keys of the accounts file."""

    def __init__(self, account_id: str, brand: str, address: str, **changes: object) -> None:
        self.account_id = account_id
        self.brand = brand
        self.address = address
        self.changes = changes


def accounts_file(path: Path, world: MailWorld, accounts: Sequence[MailAccount]) -> Path:
    """Write the YAML of accounts and brands, and each password to a file beside it."""
    rows = []
    for account in accounts:
        secret = path.with_name(f"{account.account_id}.password")
        secret.write_text(world.dovecot.users[account.address] + "\n")
        login = {"host": LOOPBACK, "username": account.address, "password": f"file:{secret}"}
        login["ca_file"] = str(world.dovecot.certificates.authority)
        row = {"id": account.account_id, "channel": "email", "brand": account.brand, "address": account.address}
        imap = {"port": world.dovecot.ports.imaps, "tls": "implicit", "start_at": "all"}
        smtp = {"port": world.postfix.ports.submission, "tls": "starttls"}
        rows.append(row | {"imap": login | imap, "smtp": login | smtp} | account.changes)
    brands = {account.brand: {"name": account.brand.title()} for account in accounts}
    path.write_text(yaml.safe_dump({"brands": brands, "accounts": rows}, sort_keys=False))
    return path


def threadline(*arguments: str, env: Mapping[str, str] | None = None, within: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in a process of its own, as a shell would."""
    program = [sys.executable, "-c", "from threadline_cli.main import run; run()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=within, env=_environment(env))  # noqa: S603


def threadline_here(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a short verb in this process, which need not import everything again."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, _environment(env), clear=True),
        mock.patch.object(sys, "argv", ["threadline", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def _environment(changes: Mapping[str, str] | None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("THREADLINE_")}
    return clean | {"THREADLINE_API__FIRST_KEY": FIRST_KEY} | dict(changes or {})


class Standalone:
    """One `threadline up`. Start it, use `api`, stop or kill it, start it again on the same data and ports."""

    def __init__(self, data: Path, configuration: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.configuration = configuration
        self.port, self.ops_port = free_ports(2)
        self.log = data.with_name(data.name + ".log")
        self.env = dict(env or {})
        self.program = [sys.executable, "-c", "from threadline_cli.main import run; run()"]
        self._process: subprocess.Popen[bytes] | None = None
        self.api = httpx.Client(
            base_url=f"http://{LOOPBACK}:{self.port}", headers={"Authorization": f"Bearer {FIRST_KEY}"}, timeout=30, trust_env=False
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self.api.close()

    @property
    def pid(self) -> int:
        """The process's id, while it runs."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def command(self) -> list[str]:
        """What is run."""
        ports = ["--port", str(self.port), "--ops-port", str(self.ops_port)]
        verb = ["up", "--data", str(self.data), "--config", str(self.configuration), *ports]
        return [*self.program, *verb]

    def start(self, *, wait: bool = True) -> None:
        """Start it and wait until the API answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                self.command(), stdout=log, stderr=log, env=_environment(self.env), start_new_session=True
            )
        if wait:
            self.wait_for_api()

    def wait_for_api(self) -> None:
        """Wait until it serves, after a start that did not."""
        self.until("the API to answer", self._answers)

    def stop(self, within: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        if self._process is None:
            raise RuntimeError("not started")
        self._process.send_signal(signal.SIGTERM)
        return self.wait(within)

    def wait(self, within: float = 30.0) -> int:
        """Wait for the end; the exit status."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.wait(within)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def dies_by_its_own_hand(self, within: float) -> bool:
        """Whether it kills itself (a failpoint) in that time. Raises RuntimeError where it ends in any other way."""
        if self._process is None:
            raise RuntimeError("not started")
        try:
            status = self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        if status != -signal.SIGKILL:
            raise RuntimeError(f"it ended with {status} instead of being killed:\n{self.said()[-2000:]}")
        return True

    def kill(self) -> None:
        """`kill -9` it with its workers, as a power cut would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def said(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def readiness(self) -> httpx.Response:
        """What /readyz answers now."""
        return httpx.get(f"http://{LOOPBACK}:{self.ops_port}/readyz", timeout=10, trust_env=False)

    def until(self, what: str, look: Callable[[], T | None], within: float = 20.0) -> T:
        """Look again and again until there is an answer. Raises TimeoutError with the end of the log."""
        deadline = time.monotonic() + within
        while True:
            found = look()
            if found:
                return found
            if self._process is not None and self._process.poll() is not None:
                raise TimeoutError(f"waiting for {what}, but it ended with {self._process.returncode}:\n{self.said()[-4000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {within:.0f} s for {what}:\n{self.said()[-4000:]}")
            time.sleep(_LOOK_AGAIN_SECONDS)

    def conversations(self, **query: str) -> list[Conversation]:
        """The list of conversations."""
        return [Conversation.model_validate(item) for item in self._items("/v1/conversations", query)]

    def timeline(self, conversation_id: str) -> list[Entry]:
        """A conversation's entries."""
        return [Entry.model_validate(item) for item in self._items(f"/v1/conversations/{conversation_id}/timeline", {})]

    def reply(self, conversation_id: str, text: str, *, key: str) -> Entry:
        """Answer the customer."""
        answer = self.api.post(f"/v1/conversations/{conversation_id}/replies", json={"text": text}, headers={"Idempotency-Key": key})
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"the reply was not accepted: {answer.status_code} {answer.text}")
        return Entry.model_validate(answer.json())

    def conversation_with(self, text: str, within: float = 20.0) -> Conversation:
        """The conversation with an entry that says `text`, once it is there."""

        def look() -> Conversation | None:
            for conversation in self.conversations():
                if any(text in (entry.text or "") for entry in self.timeline(conversation.conversation_id)):
                    return conversation
            return None

        return self.until(f"a conversation that says {text!r}", look, within)

    def entry_with(self, conversation_id: str, text: str, within: float = 20.0) -> Entry:
        """The entry of a conversation that says `text`, once it is there."""

        def look() -> Entry | None:
            return next((entry for entry in self.timeline(conversation_id) if text in (entry.text or "")), None)

        return self.until(f"an entry of {conversation_id} that says {text!r}", look, within)

    def _answers(self) -> bool:
        try:
            return self.api.get("/v1/conversations").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _items(self, path: str, query: Mapping[str, str]) -> list[object]:
        items: list[object] = []
        asked = {"limit": "100", **query}
        while True:
            answer = self.api.get(path, params=asked)
            answer.raise_for_status()
            page = answer.json()
            items += page["items"]
            if not page["next"]:
                return items
            asked["after"] = page["next"]
