"""A real Postfix in a private folder on loopback ports, which delivers into the mailboxes of one `Dovecot`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from threadline_runtime.testing.dovecot import Dovecot
from threadline_runtime.testing.ports import free_ports
from threadline_runtime.testing.postfix_conf import BOUNCING_DOMAIN, PostfixPorts, main_cf, master_cf, recipient_map
from threadline_runtime.testing.processes import ServerProcess
from threadline_runtime.testing.requirements import require, require_root

_MASTER = Path("/usr/lib/postfix/sbin/master")
_OWN_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")

__all__ = ["BOUNCING_DOMAIN", "Postfix", "require_postfix"]


def require_postfix() -> None:
    """Skip the test, or fail it under THREADLINE_REQUIRE_SERVICES=1, where Postfix cannot run."""
    require(_MASTER.exists(), "Postfix is missing: apt-get install postfix")
    require_root("Postfix")


class Postfix:
    """One Postfix for the users of one Dovecot. Use it as a context manager, or call `start` and `close`."""

    def __init__(self, dovecot: Dovecot) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="threadline-postfix-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.ports = PostfixPorts(*free_ports(3))
        self._dovecot = dovecot
        self._process = ServerProcess([_MASTER, "-c", self.folder / "etc", "-d"], self.folder / "postfix.log")
        self._write_files()

    def __enter__(self) -> Postfix:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether it has been started and neither stopped nor killed."""
        return self._process.running

    def start(self) -> None:
        """Start, or start again after `stop` or `kill`, on the same ports with the same queue."""
        self._process.start([self.ports.smtp, self.ports.submission, self.ports.submissions])

    def stop(self) -> None:
        """End in an orderly way; queued mail stays queued."""
        self._process.stop()

    def kill(self) -> None:
        """`kill -9` every process of this Postfix; queued mail stays queued."""
        self._process.kill()

    def close(self) -> None:
        """Stop and remove the folder with the queue. A second call does nothing."""
        self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of Postfix's log."""
        return self._process.log_tail(lines)

    def _write_files(self) -> None:
        etc, queue = self.folder / "etc", self.folder / "queue"
        for folder in (etc, queue, queue / "pid"):
            folder.mkdir()
        for name in _OWN_QUEUES:
            self._make_owned(queue / name, 0o700)
        self._make_owned(queue / "public", 0o755)
        self._make_owned(queue / "maildrop", 0o700)
        self._make_owned(self.folder / "data", 0o700)
        dovecot = self._dovecot
        conf = main_cf(self.folder, dovecot.ports.lmtp, dovecot.ports.auth, dovecot.certificates)
        (etc / "main.cf").write_text(conf)
        (etc / "master.cf").write_text(master_cf(self.ports))
        domains = sorted({user.partition("@")[2] for user in dovecot.users} | {BOUNCING_DOMAIN})
        (self.folder / "domains").write_text("".join(f"{domain} here\n" for domain in domains))
        (self.folder / "recipients").write_text(recipient_map(sorted(dovecot.users)))

    def _make_owned(self, folder: Path, mode: int) -> None:
        folder.mkdir()
        folder.chmod(mode)
        shutil.chown(folder, "postfix")
