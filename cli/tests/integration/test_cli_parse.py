"""`threadline parse email`: one line a file, whatever the file is; it never stops at a bad one."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
GOOD = b"From: Ann Lee <ann@client.test>\r\nTo: support@acme.test\r\nSubject: Hello\r\nMessage-ID: <1@client.test>\r\n\r\nWhere is it?\r\n"


def parse(*arguments: str, channel: str = "email", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-c", "from threadline_cli.main import run; run()", "parse", channel, *arguments]
    return subprocess.run(program, input=stdin, capture_output=True, check=False, timeout=60)


def lines(ended: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    assert ended.returncode == 0, ended.stderr.decode()
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_every_file_has_its_line_in_order(tmp_path: Path) -> None:
    good, bad, gone = tmp_path / "good.eml", tmp_path / "bad.eml", tmp_path / "gone.eml"
    good.write_bytes(GOOD)
    bad.write_bytes(b"\xff\x00" * 50)
    read = lines(parse(str(gone), str(good), str(tmp_path), str(bad), str(good), str(gone)))
    assert [line["file"] for line in read] == [str(path) for path in (gone, good, tmp_path, bad, good, gone)]
    assert [min(line) for line in read] == ["error", "events", "error", "error", "events", "error"]
    assert read[0]["error"] == {"code": "unreadable_file", "message": "the file cannot be read: No such file or directory"}


def test_an_event_has_the_fields_of_the_contract_and_no_place_in_the_world(tmp_path: Path) -> None:
    """Interface section 1: account and brand `parse`, `received_at` and `intake_id` null."""
    (line,) = lines(parse("-", stdin=GOOD))
    assert line["file"] == "-"
    (event,) = line["events"]  # type: ignore[misc]
    assert event["account_id"] == event["brand"] == "parse"
    assert event["received_at"] is None
    assert event["intake_id"] is None
    assert event["author"]["identity"] == "email:ann@client.test"
    assert event["text"].strip() == "Where is it?"


def test_names_come_from_a_list_or_from_standard_input(tmp_path: Path) -> None:
    good = tmp_path / "with space.eml"
    good.write_bytes(GOOD)
    names = tmp_path / "names"
    names.write_text(f"{good}\n" * 300)
    assert len(lines(parse("--files-from", str(names)))) == 300
    assert len(lines(parse("--files-from", "-", stdin=names.read_bytes()))) == 300


def test_wrong_use_is_status_2() -> None:
    assert parse().returncode == 2
    assert parse("-", "--headers", "x").returncode == 2
    assert parse("--files-from", "-", "-").returncode == 2
    unknown = parse("-", channel="fax")
    assert unknown.returncode == 2
    assert b"email" in unknown.stderr


def test_a_progress_bar_on_the_terminal_leaves_the_answer_alone(tmp_path: Path) -> None:
    good = tmp_path / "good.eml"
    good.write_bytes(GOOD)
    terminal, theirs = pty.openpty()
    program = [sys.executable, "-c", "from threadline_cli.main import run; run()", "parse", "email", *[str(good)] * 20]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        drawn = threading.Thread(target=drain, args=(terminal,), daemon=True)
        drawn.start()
        assert running.stdout is not None
        answer = running.stdout.read()
    assert [json.loads(line)["file"] for line in answer.splitlines()] == [str(good)] * 20


def drain(terminal: int) -> None:
    with contextlib.suppress(OSError):  # the other end is closed
        while os.read(terminal, 4096):
            pass


def test_a_reader_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    """`| head`: the worker processes end before their folder is removed."""
    large = tmp_path / "large.eml"
    file = b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\n\r\n' + b"text of a file\r\n" * 20_000
    large.write_bytes(GOOD.replace(b"\r\n\r\n", b'\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n') + file * 3 + b"--b--\r\n")
    spool = tmp_path / "spool"
    spool.mkdir()
    program = [sys.executable, "-c", "from threadline_cli.main import run; run()", "parse", "email", *[str(large)] * 40]
    with subprocess.Popen(program, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(spool)}) as running:
        assert running.stdout is not None
        running.stdout.read(10)
        running.stdout.close()
    assert list(spool.iterdir()) == []
