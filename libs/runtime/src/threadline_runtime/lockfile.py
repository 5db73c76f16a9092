"""The lock on a data folder: one `threadline up` at a time. It ends with the process, also when it is killed."""

import fcntl
import os
from pathlib import Path

from threadline_runtime.errors import ConfigurationError

__all__ = ["DataLock"]

_NAME = "threadline.lock"


class DataLock:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, folder: Path) -> "DataLock":
        """Lock the folder, which is made if it is missing; raises ConfigurationError when another process has it."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot write to {folder}: {error.strerror}: use another --data") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(handle, 20).decode("ascii", "replace").strip() or "?"
            os.close(handle)
            raise ConfigurationError(f"another threadline runs on {folder} (pid {pid}): stop it or use another --data") from error
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return cls(handle)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
