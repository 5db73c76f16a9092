"""P9: the router by itself says in one line what is wrong with its use or configuration."""

from pathlib import Path

import pytest
from router.__main__ import PROCESS
from threadline_runtime.process import run_process

SETTINGS = {
    "THREADLINE_BUS__URL": "sqlite:///bus.db",
    "THREADLINE_DATABASE__URL": "sqlite:///threadline.db",
    "THREADLINE_BLOBS__URL": "file:///tmp/none",
    "THREADLINE_OPS__PORT": "0",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def main(arguments: list[str]) -> int:
    return run_process(PROCESS, arguments)


def test_wrong_use_ends_with_two(capsys):
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "use: python -m router [migrate]\n"


def test_migrate_makes_the_tables_and_can_run_again(folder):
    assert [main(["migrate"]), main(["migrate"])] == [0, 0]
    assert Path(folder / "threadline.db").exists()


def test_a_missing_configuration_is_one_line(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_signing_keys_are_asked_for(folder, capsys):
    (folder / "threadline.yaml").write_text("brands:\n  acme: {name: Acme}\n")
    assert main([]) == 2
    assert "THREADLINE_SIGNING_KEYS" in capsys.readouterr().err
