"""The YAML file: each mistake is one line with file, line and what to write instead."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from threadline_runtime.configuration.configuration import load_configuration, validate_account
from threadline_runtime.errors import ConfigurationError

_GOOD = """\
brands:
  acme: {name: Acme, reopen_within_days: 7}
accounts:
  - id: support-mail
    channel: email
    brand: acme
    display_name: Acme Support
    imap:
      host: imap.acme.example
      password: env:SUPPORT_PASSWORD
desks:
  - id: support-slack
    desk: slack
    brand: acme
    token: env:SLACK
"""


class _Imap(BaseModel):
    model_config = ConfigDict(extra="forbid")
    host: str
    port: int = Field(default=993, ge=1)
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _check(self) -> "_Imap":
        if self.host == "bad":
            raise ValueError("bad is no host")
        return self


class _Mail(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    channel: str
    brand: str
    display_name: str | None = None
    imap: _Imap


def _write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "threadline.yaml"
    file.write_text(text)
    return file


def test_a_right_file_is_read(tmp_path: Path) -> None:
    configuration = load_configuration(_write(tmp_path, _GOOD))
    assert configuration.brands["acme"].reopen_within_days == 7
    (account,) = configuration.accounts
    assert (account.id, account.channel, account.brand, account.display_name) == ("support-mail", "email", "acme", "Acme Support")
    assert configuration.desks[0].desk == "slack"
    mail = validate_account(account, _Mail, {"SUPPORT_PASSWORD": "s3cret"})
    assert mail.imap.password is not None
    assert mail.imap.password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr((mail, configuration))


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("brands:", "brand:", 1, "unknown key 'brand': did you mean 'brands'?"),
        ("reopen_within_days", "reopen_days", 2, "brand 'acme': unknown key 'reopen_days': did you mean 'reopen_within_days'?"),
        ("reopen_within_days: 7", "reopen_within_days: often", 2, "brand 'acme': reopen_within_days: Input should be a valid integer"),
        ("name: Acme, ", "", 2, "brand 'acme': the key 'name' is missing"),
        ("  acme:", "  raw:", 2, "brand 'raw': an id is made of"),
        ("id: support-mail", "id: Support Mail", 4, "the id 'Support Mail' must be made of a-z, 0-9 and -"),
        ("id: support-mail", "id: 17", 4, "id is text: put it in quotes"),
        ("    brand: acme\n    display", "    brand: acmee\n    display", 6, "no brand 'acmee': did you mean 'acme'?"),
        ("    channel: email\n", "", 4, "the key 'channel' is missing"),
        ("display_name: Acme Support", "display_name: [a]", 7, "display_name is text"),
        ("desks:\n  - id: support-slack", "desks:\n  - id: support-slack\n    id: x", 13, "the key 'id' stands twice"),
        ("desks:\n  - id", "desks:\n    id", 11, "desks is a list"),
        ("    imap:\n", "    imap: {\n", 10, "no YAML"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in _GOOD
    file = _write(tmp_path, _GOOD.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(file)
    assert str(caught.value).startswith(f"{file}:{line}: "), str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("host: imap", "hots: imap", 9, "account 'support-mail': imap: unknown key 'hots': did you mean 'host'? (and 1 more)"),
        ("display_name:", "displayname:", 7, "account 'support-mail': unknown key 'displayname': did you mean 'display_name'?"),
        ("      host: imap.acme.example\n", "", 8, "account 'support-mail': imap: the key 'host' is missing"),
        ("imap.acme.example", "x\n      port: none", 10, "imap.port: Input should be a valid integer"),
        ("imap.acme.example", "bad", 8, "account 'support-mail': imap: bad is no host"),
        ("env:SUPPORT_PASSWORD", "hunter2", 10, "password: a secret must not stand here: write env:NAME or file:/path"),
        ("env:SUPPORT_PASSWORD", "env:OTHER", 10, "the environment variable OTHER is not set"),
        ("env:SUPPORT_PASSWORD", "file:/no/such", 10, "cannot read the secret in /no/such: No such file"),
    ],
)
def test_a_channels_mistakes_name_their_line_and_never_the_secret(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in _GOOD
    file = _write(tmp_path, _GOOD.replace(old, new, 1))
    account = load_configuration(file).account("support-mail")
    with pytest.raises(ConfigurationError) as caught:
        validate_account(account, _Mail, {"SUPPORT_PASSWORD": "s3cret"})
    assert str(caught.value).startswith(f"{file}:{line}: "), str(caught.value)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    second = "  - {id: support-mail, channel: email, brand: acme}\ndesks:"
    with pytest.raises(ConfigurationError, match=r"yaml:11: accounts: the id 'support-mail' stands twice"):
        load_configuration(_write(tmp_path, _GOOD.replace("desks:", second)))


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is none: write it"):
        load_configuration(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="no account 'x': there are support-mail"):
        load_configuration(_write(tmp_path, _GOOD)).account("x")


def test_an_empty_file_has_nothing_in_it(tmp_path: Path) -> None:
    assert load_configuration(_write(tmp_path, "")).accounts == ()


def test_a_file_of_brackets_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "threadline.yaml"
    file.write_text("a: " + "[" * 5000)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        load_configuration(file)
