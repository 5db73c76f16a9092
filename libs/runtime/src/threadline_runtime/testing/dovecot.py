"""A real Dovecot in a private folder on loopback ports, with users, folders and mails; delivery by SMTP is `postfix.py`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from threadline_runtime.testing.certificates import Certificates, make_certificates
from threadline_runtime.testing.dovecot_conf import MAIL_USER, OAUTH_KEY, DovecotPorts, dovecot_conf, oauth_conf
from threadline_runtime.testing.ports import free_ports
from threadline_runtime.testing.processes import ServerNotReadyError, ServerProcess
from threadline_runtime.testing.requirements import find_program, require_programs, require_root

_OAUTH_SECRET = b"threadline-test-secret-threadline-test"
_PASSWORD_SECONDS = 10.0
_NOT_FOUND, _REFUSED = 68, 77

__all__ = ["Dovecot", "require_dovecot"]


def require_dovecot() -> None:
    """Skip the test, or fail it under THREADLINE_REQUIRE_SERVICES=1, where Dovecot cannot run."""
    require_programs("dovecot", "doveadm", package="dovecot-imapd dovecot-lmtpd")
    require_programs("openssl", package="openssl")
    require_root("Dovecot")


class Dovecot:
    """One Dovecot. Use it as a context manager, or call `start` and `close`.

    `users` maps a login, which is the address, to its password. Mails lie in a Maildir a user.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        # Dovecot's own users must read the folder, and socket paths are short: so /tmp, not pytest's deep folders.
        self.folder = Path(tempfile.mkdtemp(prefix="threadline-dovecot-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.users = dict(users)
        self.ports = DovecotPorts(*free_ports(4))
        self.certificates: Certificates = make_certificates(self.folder)
        self._conf = self.folder / "dovecot.conf"
        program = find_program("dovecot")
        self._process = ServerProcess([program or "dovecot", "-F", "-c", self._conf], self.folder / "dovecot.log")
        self._write_files()

    def __enter__(self) -> Dovecot:
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
        """Start, or start again after `stop` or `kill`, on the same ports with the same mails."""
        self._process.start([self.ports.imap, self.ports.imaps, self.ports.lmtp, self.ports.auth])

    def stop(self) -> None:
        """End in an orderly way; clients lose their connections, mails stay."""
        self._process.stop()

    def kill(self) -> None:
        """`kill -9` every process of this Dovecot; mails stay."""
        self._process.kill()
        # A container's first process may leave the dead master a zombie, which Dovecot would take for a running one.
        (self.folder / "run" / "master.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """Stop and remove the folder with all mails. A second call does nothing."""
        self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def append(self, user: str, folder: str, mail: bytes) -> None:
        """Put one mail into a folder by `doveadm save`, as an import tool would; the folder is made when missing."""
        if folder.upper() != "INBOX":
            self.create_folder(user, folder)
        self._doveadm("save", "-u", user, "-m", folder, data=mail)

    def append_many(self, user: str, mails: Iterable[bytes]) -> int:
        """Put mails into the INBOX by writing its files (thousands a second) and return how many; UIDs go by order."""
        new = self._home(user) / "Maildir" / "new"
        # The first file makes Dovecot lay out the Maildir with its owner.
        self._doveadm("mailbox", "status", "-u", user, "messages", "INBOX")
        count = 0
        for count, mail in enumerate(mails, start=1):
            target = new / f"{time.time_ns()}.{count:08d}.append"
            staged = self._home(user) / "Maildir" / "tmp" / target.name
            staged.write_bytes(mail)
            shutil.chown(staged, MAIL_USER, MAIL_USER)
            staged.rename(target)
        return count

    def create_folder(self, user: str, folder: str) -> None:
        """Make a folder unless it is there."""
        if folder not in self.folders(user):
            self._doveadm("mailbox", "create", "-u", user, "-s", folder)

    def folders(self, user: str) -> list[str]:
        """The names of a user's folders."""
        return self._doveadm("mailbox", "list", "-u", user).decode().splitlines()

    def messages(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """Every mail of a folder as it is stored, in UID order."""
        listing = self._doveadm("-f", "tab", "fetch", "-u", user, "uid", "mailbox", folder).decode().split()[1:]
        uids = sorted(int(uid) for uid in listing)
        return [self._fetch(user, folder, uid) for uid in uids]

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, str]:
        """UID to flags: shows whether a reader marked mails as seen."""
        table = self._doveadm("-f", "tab", "fetch", "-u", user, "uid flags", "mailbox", folder).decode().splitlines()
        rows = [line.split("\t") for line in table[1:]]
        return {int(uid): flags for uid, flags in rows}

    def uid_validity(self, user: str, folder: str = "INBOX") -> int:
        """The folder's UIDVALIDITY now."""
        answer = self._doveadm("-f", "tab", "mailbox", "status", "-u", user, "uidvalidity", folder).decode()
        return int(answer.splitlines()[-1].split("\t")[-1])

    def change_uid_validity(self, user: str, folder: str = "INBOX") -> int:
        """Give the folder a new UIDVALIDITY, as after a restore, and return it. UIDs start at 1 again; mails stay."""
        before = self.uid_validity(user, folder)
        self.disconnect(user)
        maildir = self._home(user) / "Maildir"
        path = maildir if folder.upper() == "INBOX" else maildir / ("." + folder.replace("/", "."))
        for name in ("dovecot-uidlist", "dovecot.index", "dovecot.index.log", "dovecot.index.cache"):
            (path / name).unlink(missing_ok=True)
        self._doveadm("mailbox", "update", "-u", user, "--uid-validity", str(before + 1), folder)
        return self.uid_validity(user, folder)

    def empty(self, user: str) -> None:
        """Remove every mail and every folder but the INBOX, so that the next test starts afresh."""
        self._doveadm("expunge", "-u", user, "mailbox", "*", "all")
        for folder in sorted(self.folders(user), reverse=True):
            if folder != "INBOX":
                # A parent that holds no mails is only a name and goes with its last child.
                self._doveadm("mailbox", "delete", "-u", user, "-s", folder, allowed=(0, _NOT_FOUND))

    def disconnect(self, user: str) -> None:
        """Cut every session of a user, in the middle of whatever it does."""
        self._doveadm("kick", user, allowed=(0, _NOT_FOUND))

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password and wait until it counts; sessions that are logged in stay."""
        self.users[user] = password
        users = self.folder / "users"
        # Dovecot reads the file again when its time in whole seconds differs.
        later = users.stat().st_mtime + 2
        self._write_users()
        os.utime(users, (later, later))
        deadline = time.monotonic() + _PASSWORD_SECONDS
        while not self._accepts(user, password):
            if time.monotonic() > deadline:
                raise ServerNotReadyError(f"Dovecot does not take the new password of {user}:\n{self.log_tail()}")

    def access_token(self, user: str, *, expires_at: int) -> str:
        """A token that XOAUTH2 accepts for this user until `expires_at` (Unix seconds)."""
        header = _token_part({"alg": "HS256", "typ": "JWT"})
        claims = _token_part({"email": user, "sub": user, "exp": expires_at})
        signature = hmac.digest(_OAUTH_SECRET, f"{header}.{claims}".encode(), hashlib.sha256)
        return f"{header}.{claims}.{_base64url(signature)}"

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of Dovecot's log."""
        return self._process.log_tail(lines)

    def _accepts(self, user: str, password: str) -> bool:
        return b"auth succeeded" in self._doveadm("auth", "test", user, password, allowed=(0, _REFUSED))

    def _home(self, user: str) -> Path:
        return self.folder / "mail" / user

    def _fetch(self, user: str, folder: str, uid: int) -> bytes:
        answer = self._doveadm("fetch", "-u", user, "text", "mailbox", folder, "uid", str(uid))
        return answer.removeprefix(b"text:\n").removesuffix(b"\f\n")

    def _doveadm(self, *arguments: str, data: bytes | None = None, allowed: tuple[int, ...] = (0,)) -> bytes:
        program = find_program("doveadm") or "doveadm"
        command = [str(program), "-c", str(self._conf), *arguments]
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)  # noqa: S603
        if done.returncode not in allowed:
            raise RuntimeError(f"doveadm {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _write_files(self) -> None:
        for name in ("run", "state", "mail", f"{OAUTH_KEY}/default/HS256"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "mail", MAIL_USER, MAIL_USER)
        self._conf.write_text(dovecot_conf(self.folder, self.ports, self.certificates))
        (self.folder / "oauth2.conf").write_text(oauth_conf(self.folder))
        (self.folder / OAUTH_KEY / "default" / "HS256" / "default").write_bytes(base64.b64encode(_OAUTH_SECRET))
        self._write_users()

    def _write_users(self) -> None:
        lines = [f"{user}:{password}:{MAIL_USER}:{MAIL_USER}::{self._home(user)}::" for user, password in self.users.items()]
        (self.folder / "users").write_text("\n".join(lines) + "\n")


def _token_part(value: Mapping[str, str | int]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
