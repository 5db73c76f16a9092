"""`threadline demo` tells its story to the end by itself, offline, and leaves nothing behind."""

import socket
from pathlib import Path

import pytest
from threadline_cli.testing.standalone import threadline

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


def test_the_story_comes_to_its_end(tmp_path: Path) -> None:
    """Every step waits for what it must bring about: the answer in the mailbox, the participant, both accounts, the bounce."""
    # Settings of a real installation lie in the same shell: the demo must not touch what they name.
    real = {"THREADLINE_DATABASE__URL": f"sqlite:///{tmp_path}/real.db", "THREADLINE_BUS__URL": f"sqlite:///{tmp_path}/real-bus.db"}
    told = threadline("demo", "--once", "--port", "0", env={"TMPDIR": str(tmp_path), **real}, within=110)
    assert told.returncode == 0, told.stderr + told.stdout
    assert "http://127.0.0.1:" in told.stdout
    assert "tl_" in told.stdout
    assert "an automatic reply" in told.stdout
    assert "Traceback" not in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = threadline("demo", "--once", "--port", str(taken.getsockname()[1]), env={"TMPDIR": str(tmp_path)})
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--port" in ended.stderr
