"""A mail account is checked before anything connects, and no secret shows."""

from datetime import date

import pytest
from ingest_email.settings import MailAccount
from pydantic import ValidationError

LOGIN = {"host": "imap.acme.example", "username": "support", "password": "hunter-2"}


def account(**imap: object) -> MailAccount:
    merged = {key: value for key, value in {**LOGIN, **imap}.items() if value is not None}
    return MailAccount.model_validate(
        {
            "id": "support-mail",
            "channel": "email",
            "brand": "acme",
            "address": "support@acme.example",
            "imap": merged,
            "smtp": {"host": "x"},
        }
    )


def test_defaults():
    """TLS from the first byte, INBOX, from now on, nothing marked."""
    imap = account().imap
    assert (imap.tls, imap.port_number, imap.all_folders, imap.start_at, imap.mark) == ("implicit", 993, ("INBOX",), "now", None)
    assert account(tls="none", host="127.0.0.1").imap.port_number == 143


@pytest.mark.parametrize(("written", "read"), [("all", "all"), ("2026-11-01", date(2026, 11, 1)), (date(2026, 11, 1), date(2026, 11, 1))])
def test_start_at(written, read):
    """As YAML gives it."""
    assert account(start_at=written).imap.start_at == read


@pytest.mark.parametrize(
    ("imap", "said"),
    [
        ({"tls": "starttls"}, "STARTTLS"),
        ({"tls": "none"}, "insecure: true"),
        ({"password": None}, "exactly one of password and access_token"),
        ({"access_token": "file:/run/token"}, "exactly one of password and access_token"),
        ({"access_token": "ya29.token", "password": None}, "file:"),
        ({"mark": "move"}, "move_to"),
        ({"move_to": "Done"}, "mark: move"),
        ({"mark": "move", "move_to": "INBOX"}, "must not be a folder that is read"),
        ({"start_at": "yesterday"}, "start_at"),
        ({"mark": "delete"}, "mark"),
        ({"folderz": ["INBOX"]}, "folderz"),
    ],
)
def test_mistakes_are_said(imap, said):
    """What cannot work is refused with what to write instead; the password stays out of it."""
    with pytest.raises(ValidationError) as caught:
        account(**imap)
    assert said in str(caught.value)
    assert "hunter-2" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_no_tls_on_loopback_only(host):
    """`tls: none` is for tests and tunnels."""
    assert account(tls="none", host=host).imap.tls == "none"
    assert account(tls="none", insecure=True).imap.tls == "none"


def test_secrets_do_not_show():
    """Not in repr, not in JSON."""
    assert "hunter-2" not in repr(account())
    assert "hunter-2" not in account().model_dump_json()
    assert account().imap.read_secret() == "hunter-2"


def test_a_token_is_read_anew(tmp_path):
    """Tokens live about an hour: the file is read at every connect."""
    token = tmp_path / "token"
    token.write_text("first\n")
    imap = account(password=None, access_token=f"file:{token}").imap
    assert imap.read_secret() == "first"
    token.write_text("second\n")
    assert imap.read_secret() == "second"


def test_the_address_is_one_address():
    """A list or a name is no address."""
    with pytest.raises(ValidationError, match="not a mail address"):
        MailAccount.model_validate({"id": "a", "channel": "email", "brand": "acme", "address": "Acme", "imap": LOGIN})
