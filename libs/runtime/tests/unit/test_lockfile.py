"""One process a data folder (P9)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.lockfile import DataLock


def test_a_second_process_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    lock = DataLock.take(tmp_path / "data")
    with pytest.raises(ConfigurationError, match=rf"another threadline runs on .*data \(pid {os.getpid()}\)"):
        DataLock.take(tmp_path / "data")
    lock.release()
    lock.release()
    DataLock.take(tmp_path / "data").release()


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, pathlib, sys\nfrom threadline_runtime.lockfile import DataLock\n"
        "DataLock.take(pathlib.Path(sys.argv[1]))\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    DataLock.take(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write to"):
        DataLock.take(tmp_path / "file" / "data")
