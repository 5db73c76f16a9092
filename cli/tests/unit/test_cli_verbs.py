"""Every verb is there, has its help with an example, and imports no more than it needs."""

import subprocess
import sys
from pathlib import Path

import pytest
from threadline_cli.main import VERBS, create_app
from threadline_cli.version import VERSION
from typer.testing import CliRunner

GROUPS = {"keys": ("create", "list", "revoke"), "dlq": ("list", "show", "redrive", "discard")}
COMMANDS = [(verb,) for verb in VERBS if verb not in GROUPS] + [(group, verb) for group, verbs in GROUPS.items() for verb in verbs]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example_of_the_verb(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(create_app([command[0]]), [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"$ threadline {' '.join(command)}" in " ".join(shown.output.split())


def test_the_whole_help_names_every_verb() -> None:
    shown = CliRunner().invoke(create_app(), ["--help"])
    assert all(f" {verb} " in shown.output for verb in VERBS)


def test_the_release_is_told() -> None:
    assert CliRunner().invoke(create_app([]), ["--version"]).output == f"threadline {VERSION}\n"


def test_a_question_to_the_api_does_not_wait_for_the_services() -> None:
    program = "import sys, atexit; from threadline_cli.main import run; atexit.register(lambda: print(*sys.modules)); run()"
    asked = [sys.executable, "-c", program, "conversations"]
    loaded = subprocess.run(asked, capture_output=True, text=True, check=False, env={"PATH": ""}).stdout.split()
    assert "threadline_cli.commands.conversations" in loaded
    assert not {"router", "notifier", "ingest_email", "fastapi", "structlog"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "env", "read"),
    [
        (["check"], {}, "threadline.yaml"),
        (["check"], {"THREADLINE_CONFIG": "/none/env.yaml"}, "/none/env.yaml"),
        (["-c", "/none/before.yaml", "check"], {"THREADLINE_CONFIG": "/none/env.yaml"}, "/none/before.yaml"),
        (["-c", "/none/before.yaml", "check", "--config", "/none/after.yaml"], {}, "/none/after.yaml"),
        (["-c", "/", "keys", "create"], {}, "/"),
    ],
)
def test_the_nearest_word_names_the_configuration(
    arguments: list[str], env: dict[str, str], read: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(create_app(["check", "keys"]), arguments, env={"THREADLINE_CONFIG": None, **env})
    assert str(ended.exception).startswith(f"cannot read {read}:")
