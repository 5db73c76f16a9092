"""Errors of the command: one line that says what to do, and the exit status of interface section 1."""

import subprocess
import sys

import pytest
import typer
from threadline_cli.failures import NoAnswerError, describe_failure
from threadline_runtime.errors import ConfigurationError, TransientError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError("threadline.yaml, line 3:\n unknown key"), 2),
        (NoAnswerError("not found"), 1),
        (TransientError("the disk is full"), 1),
        (FileNotFoundError(2, "No such file or directory", "a.eml"), 2),
        (typer.BadParameter("no text"), 2),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("boom"), 1),
    ],
)
def test_every_failure_is_one_line_with_its_status(error: BaseException, status: int) -> None:
    failure = describe_failure(error)
    assert failure.status == status
    assert "\n" not in failure.line
    assert failure.line


def test_an_unforeseen_error_names_its_class_and_the_way_to_a_trace() -> None:
    line = describe_failure(ZeroDivisionError("boom")).line
    assert "ZeroDivisionError: boom" in line
    assert "THREADLINE_LOG__LEVEL=debug" in line


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["conversations", "--limit", "x"], 2, "--limit"),
        (["no-such-verb"], 2, "no-such-verb"),
        (["no-such-verb"], 2, "`threadline --help`"),
        (["keys"], 2, "name one of its commands (see `threadline keys --help`)"),
        (["keys", "create", "--scope", "no"], 2, "'--scope': 'no' is not one of"),
        (["keys", "create", "--scope", "no"], 2, "`threadline keys create --help`"),
        (["dlq", "redrive", "--topic", "threadline.inbound.v1", "--force"], 2, "--force takes one reference"),
        (["conversations"], 2, "THREADLINE_API_KEY"),
        (["conversations", "--api-key", "tl_x", "--url", "http://127.0.0.1:9"], 2, "cannot reach http://127.0.0.1:9"),
    ],
)
def test_the_command_ends_with_one_line_on_standard_error(arguments: list[str], status: int, said: str) -> None:
    program = [sys.executable, "-c", "from threadline_cli.main import run; run()", *arguments]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, env={"PATH": ""})
    assert ended.returncode == status
    assert ended.stdout == "" or arguments == ["keys"]  # which shows its help there
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr
