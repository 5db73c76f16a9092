"""`threadline keys`: the secret is shown once and kept nowhere; a key that was taken back stays listed."""

import json
from pathlib import Path

import pytest
from threadline_cli.main import create_app
from typer.testing import CliRunner


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, str]:
    """The option for a data folder in which `up` ran."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "threadline.db").touch()
    return "--data", str(folder)


def run(*arguments: str) -> list[dict[str, object]]:
    ended = CliRunner().invoke(create_app(), [*arguments, "--json"])
    assert ended.exit_code == 0, ended.output
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_key_is_made_listed_and_taken_back(tmp_path: Path, data: tuple[str, str]) -> None:
    (made,) = run("keys", "create", "--name", "desk", "--scope", "read", "--scope", "reply", "--brand", "acme", *data)
    assert str(made["secret"]).startswith("tl_")
    (listed,) = run("keys", "list", *data)
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    assert listed["scopes"] == ["read", "reply"]
    assert listed["brands"] == ["acme"]
    run("keys", "revoke", str(made["key_id"]), *data)
    (listed,) = run("keys", "list", *data)
    assert listed["revoked_at"] is not None
    assert str(made["secret"]).encode() not in (tmp_path / "data" / "threadline.db").read_bytes()


@pytest.mark.parametrize("arguments", [("keys", "list"), ("keys", "revoke", "key_1"), ("keys", "create")])
def test_a_mistyped_folder_is_not_made(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(create_app(), [*arguments, "--data", str(tmp_path / "dta")])
    assert ended.exit_code != 0
    assert not (tmp_path / "dta").exists()


@pytest.mark.parametrize(("option", "value"), [("--name", " "), ("--brand", "acmee")])
def test_a_key_that_nobody_could_use_is_not_made(tmp_path: Path, data: tuple[str, str], option: str, value: str) -> None:
    """A mistyped brand would see nothing, silently; a reply without a name would have no author."""
    accounts = tmp_path / "threadline.yaml"
    accounts.write_text("brands:\n  acme: {name: Acme}\naccounts: []\n")
    ended = CliRunner().invoke(create_app(), ["keys", "create", option, value, "--config", str(accounts), *data])
    assert ended.exit_code == 2
    assert option in ended.output
    assert run("keys", "list", *data) == []
