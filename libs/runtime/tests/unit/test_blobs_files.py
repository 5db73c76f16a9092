"""Blobs as files: all or nothing, never outside their folder (P6)."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.blobs.keys import attachment_key, check_key, raw_key, text_key
from threadline_runtime.blobs.port import BlobMissing
from threadline_runtime.errors import ConfigurationError, TransientError

_SHA = "ab" * 32


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs.open(tmp_path / "blobs")


async def test_what_was_put_is_read_whole_and_in_pieces(blobs: FileBlobs) -> None:
    data = bytes(range(256)) * 4000
    await blobs.put(raw_key("i_a"), data)
    assert await blobs.get("raw/i_a") == data
    assert await blobs.size("raw/i_a") == len(data)
    pieces = [piece async for piece in blobs.chunks("raw/i_a")]
    assert len(pieces) > 1
    assert b"".join(pieces) == data
    await blobs.put("raw/i_a", b"new")
    assert await blobs.get("raw/i_a") == b"new"


async def test_a_spool_file_is_moved_in(blobs: FileBlobs, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"large")
    await blobs.put_file("raw/i_b", spool)
    assert await blobs.get("raw/i_b") == b"large"
    assert not spool.exists()


async def test_a_missing_blob_says_so(blobs: FileBlobs) -> None:
    assert not await blobs.exists("raw/none")
    for read in (blobs.get, blobs.size):
        with pytest.raises(BlobMissing):
            await read("raw/none")
    with pytest.raises(BlobMissing):
        await anext(blobs.chunks("raw/none"))


async def test_half_written_files_of_a_crash_are_no_blobs(blobs: FileBlobs, tmp_path: Path) -> None:
    """P9: after power loss a blob is there whole or not at all."""
    half = tmp_path / "blobs" / ".writing" / "half"
    half.write_bytes(b"ha")
    os.utime(half, (0, 0))
    FileBlobs.open(tmp_path / "blobs")
    assert list((tmp_path / "blobs" / ".writing").iterdir()) == []


def test_who_opens_it_leaves_alone_what_another_writes_just_now(blobs: FileBlobs, tmp_path: Path) -> None:
    """P1: `threadline check` beside `threadline up`; a spooled mail is moved there before it gets its name."""
    half = tmp_path / "blobs" / ".writing" / "half"
    half.write_bytes(b"ha")
    FileBlobs.open(tmp_path / "blobs")
    assert half.read_bytes() == b"ha"


@pytest.mark.parametrize(
    "key", ["../etc/passwd", "raw/../../x", "/etc/passwd", "raw", "raw/", "raw//x", ".writing/x", "raw/.x", "a/b\x00", "a/b\n"]
)
async def test_no_key_leaves_the_folder(blobs: FileBlobs, key: str) -> None:
    with pytest.raises(ValueError, match="plain segments"):
        await blobs.put(key, b"x")


@given(st.text(min_size=1, max_size=60))
def test_whatever_key_is_accepted_stays_inside(key: str) -> None:
    root = Path("/blobs")
    try:
        path = root / check_key(key)
    except ValueError:
        return
    assert root in Path(str(path.resolve())).parents
    assert ".." not in path.parts


def test_keys_of_each_kind() -> None:
    assert attachment_key("acme", _SHA) == f"acme/{_SHA}"
    assert text_key("e_1", "html") == "text/e_1/html"
    for brand, sha in (("trash", _SHA), ("raw", _SHA), ("acme", "x"), ("acme/..", _SHA)):
        with pytest.raises(ValueError, match=r"segments|attachment"):
            attachment_key(brand, sha)


async def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write blobs"):
        FileBlobs.open(tmp_path / "file")


async def test_a_full_disk_is_transient(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("threadline_runtime.blobs.files._write_bytes", full)
    for step in (blobs.put("raw/x", b""), blobs.probe()):
        with pytest.raises(TransientError, match="disk full"):
            await step


async def test_a_folder_that_was_taken_away_is_transient_and_no_missing_blob(blobs: FileBlobs, tmp_path: Path) -> None:
    """P8: an unmounted disk pauses intake; as a missing blob it would be blamed on the record."""
    (tmp_path / "blobs" / ".writing").rmdir()
    with pytest.raises(TransientError):
        await blobs.put("raw/x", b"")
