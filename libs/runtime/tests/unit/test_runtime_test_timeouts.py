"""A test that hangs ends at its timeout, also on the loop that the services run on."""

import os
import subprocess
import sys
from pathlib import Path

HANGING = """
import asyncio


async def test_hangs():
    await asyncio.get_running_loop().create_future()


async def test_after_it():
    pass
"""


def test_a_coroutine_that_hangs_is_ended_and_the_next_test_runs(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["threadline_runtime.testing.fixtures"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout", "1", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout
    assert "Timeout (>1.0s)" in ran.stdout
