"""Failpoints: off unless a test build arms them, and then exactly where and when they were asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.failpoints import FailpointError, all_failpoints, arm_failpoints, disarm_failpoints, failpoint


@pytest.fixture(autouse=True)
def _disarm():
    yield
    disarm_failpoints()


def _arm(rules: str, **more: str) -> None:
    arm_failpoints({"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": rules, **more})


async def test_nothing_is_armed_outside_a_test_build() -> None:
    arm_failpoints({"THREADLINE_FAILPOINTS": "router.after_cas=raise"})
    await failpoint("router.after_cas")


async def test_a_place_fails_where_it_was_asked_to() -> None:
    _arm("router.after_cas=raise, bus.*=raise")
    await failpoint("router.before_cas")
    with pytest.raises(FailpointError, match=r"router\.after_cas"):
        await failpoint("router.after_cas")
    with pytest.raises(FailpointError):
        await failpoint("bus.after_publish")


async def test_only_the_nth_passing_fails() -> None:
    _arm("a=raise@3")
    await failpoint("a")
    await failpoint("a")
    with pytest.raises(FailpointError):
        await failpoint("a")
    await failpoint("a")


async def test_the_log_names_each_place_once(tmp_path: Path) -> None:
    log = tmp_path / "passed"
    _arm("", THREADLINE_FAILPOINTS_LOG=str(log))
    for name in ("a", "b", "a"):
        await failpoint(name)
    assert log.read_text().split() == ["a", "b"]


def test_a_rule_that_cannot_be_read_is_one_clear_line() -> None:
    with pytest.raises(ConfigurationError, match="cannot read 'a=explode'"):
        _arm("a=explode")


def test_kill_ends_the_process_at_once() -> None:
    code = (
        "import asyncio, os\nfrom threadline_runtime.failpoints import arm_failpoints, failpoint\n"
        "arm_failpoints(os.environ)\nasyncio.run(failpoint('a'))\nprint('alive')"
    )
    env = {**os.environ, "THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": "a=kill"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    assert done.returncode == -9
    assert done.stdout == b""


def test_all_names_in_the_source_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('await failpoint("x.one")\nawait failpoint(\n    "x.two"\n)\n')
    assert all_failpoints([tmp_path]) == ("x.one", "x.two")
