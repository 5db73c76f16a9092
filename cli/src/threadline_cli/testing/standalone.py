"""`threadline up` and the other verbs as processes of their own on free loopback ports; for end-to-end and fault tests."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import yaml
from threadline_runtime.testing.mail_world import MailWorld
from threadline_runtime.testing.ports import LOOPBACK

from threadline_cli.main import run
from threadline_cli.testing.own_process import FIRST_KEY, clean_environment
from threadline_cli.testing.served_api import ServedApi

__all__ = ["FIRST_KEY", "MailAccount", "Standalone", "accounts_file", "threadline", "threadline_here"]


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
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=within, env=clean_environment(env))  # noqa: S603


def threadline_here(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a short verb in this process, which need not import everything again."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, clean_environment(env), clear=True),
        mock.patch.object(sys, "argv", ["threadline", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


class Standalone(ServedApi):
    """One `threadline up`. Start it, use `api`, stop or kill it, start it again on the same data and ports."""

    def __init__(self, data: Path, configuration: Path, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__(data.with_name(data.name + ".log"), env or {})
        self.data = data
        self.configuration = configuration
        self.program = [sys.executable, "-c", "from threadline_cli.main import run; run()"]

    @property
    def bus_url(self) -> str:
        """The bus it is on."""
        return self.env.get("THREADLINE_BUS__URL", f"sqlite:///{self.data.absolute() / 'bus.db'}")

    def command(self) -> Sequence[str]:
        """What is run."""
        ports = ["--port", str(self.port), "--ops-port", str(self.ops_port)]
        verb = ["up", "--data", str(self.data), "--config", str(self.configuration), *ports]
        return [*self.program, *verb]
