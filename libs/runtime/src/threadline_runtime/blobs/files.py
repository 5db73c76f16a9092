"""Blobs as files below one folder: written beside, synced, renamed, and the folder synced, so that a power cut leaves all or nothing.

Not here: keys (`keys`), and throwing away: nothing does (ADR 0004).
"""

import asyncio
import contextlib
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from threadline_runtime.blobs.keys import check_key
from threadline_runtime.blobs.port import BlobMissing
from threadline_runtime.errors import ConfigurationError, TransientError
from threadline_runtime.failpoints import failpoint

__all__ = ["FileBlobs"]

T = TypeVar("T")
_CHUNK = 256 * 1024
_SCRATCH = ".writing"
_ABANDONED_SECONDS = 86_400.0


class FileBlobs:
    """The `BlobStore` port on local files."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def open(cls, root: Path) -> "FileBlobs":
        """Make the folder; half-written files of a crash are removed. Raises ConfigurationError where it cannot be written.

        Others may be writing into it at this moment (`threadline check` beside `up`): only what nobody can be writing any more goes.
        """
        long_ago = time.time() - _ABANDONED_SECONDS
        try:
            scratch = root / _SCRATCH
            scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left_over in scratch.iterdir():
                _remove_if_older(left_over, long_ago)
        except OSError as error:
            raise ConfigurationError(f"cannot write blobs to {root}: {error.strerror}: give the process rights there") from error
        return cls(root)

    async def put(self, key: str, data: bytes) -> None:
        """See the port."""
        target = self._path(key)
        await self._io(lambda: self._write(target, lambda scratch: _write_bytes(scratch, data)))
        await failpoint("blobs.after_put")

    async def put_file(self, key: str, path: Path) -> None:
        """See the port; a file on the same file system is moved, any other copied."""
        target = self._path(key)
        await self._io(lambda: self._write(target, lambda scratch: _move(path, scratch)))
        await failpoint("blobs.after_put")

    async def get(self, key: str) -> bytes:
        """See the port."""
        return await self._io(lambda: self._find(key).read_bytes())

    async def chunks(self, key: str) -> AsyncIterator[bytes]:
        """See the port."""
        file = await self._io(lambda: self._find(key).open("rb"))
        try:
            while chunk := await self._io(lambda: file.read(_CHUNK)):
                yield chunk
        finally:
            file.close()

    async def size(self, key: str) -> int:
        """See the port."""
        return await self._io(lambda: self._find(key).stat().st_size)

    async def exists(self, key: str) -> bool:
        """See the port."""
        return await self._io(self._path(key).is_file)

    async def probe(self) -> None:
        """See the port."""
        scratch = self._root / _SCRATCH / uuid4().hex

        def write() -> None:
            _write_bytes(scratch, b"probe")
            scratch.unlink()

        await self._io(write)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _find(self, key: str) -> Path:
        path = self._path(key)
        if path.is_file():
            return path
        raise BlobMissing("no blob lies under this key")

    def _write(self, target: Path, fill: Callable[[Path], None]) -> None:
        scratch = self._root / _SCRATCH / uuid4().hex
        try:
            _make_folder(target.parent)
            fill(scratch)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        _sync_folder(target.parent)

    async def _io(self, run: Callable[[], T]) -> T:
        """Run in a thread; an error of the disk is transient."""
        try:
            return await asyncio.to_thread(run)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise TransientError(f"disk full: free space for {self._root}") from error
            raise TransientError(f"blobs in {self._root}: {error.strerror}") from error


def _remove_if_older(path: Path, moment: float) -> None:
    # Whoever writes it may finish at any moment, and then it is gone from here.
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_mtime < moment:
            path.unlink()


def _write_bytes(path: Path, data: bytes) -> None:
    with path.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, target)
        source.unlink()
    os.utime(target)
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _make_folder(folder: Path) -> None:
    """Make a folder and each that is missing above it, each entry durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True, mode=0o700)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
