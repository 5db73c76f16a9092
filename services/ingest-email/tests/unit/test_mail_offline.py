"""`threadline parse email`: files to events, offline, one answer a file, never stopped by a bad one."""

import json
from pathlib import Path

from ingest_email.offline import OfflineMail, parse_files
from ingest_email.settings import MailAccount

FIXTURES = Path(__file__).parents[1] / "fixtures"
MAIL = b"From: ann@client.example\r\nSubject: hi\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n\r\nhello\r\n"


async def read(mails: list[OfflineMail], spool: Path, **options: object):
    return [one async for one in parse_files(mails, spool=spool, workers=1, **options)]


async def test_files_and_standard_input(tmp_path):
    """Account and brand are `parse`; received_at and intake_id are null; a bad file is an error of its own, in its place."""
    mails = [
        OfflineMail("-", MAIL),
        OfflineMail("gone.eml", tmp_path / "gone.eml"),
        OfflineMail("empty.eml", b""),
        OfflineMail("dsn", FIXTURES / "dsn-postfix-hard.eml"),
    ]
    first, gone, empty, bounce = await read(mails, tmp_path / "spool")
    event = json.loads(first.events[0].to_json())
    assert (first.name, event["account_id"], event["brand"], event["origin"]) == ("-", "parse", "parse", "parse")
    assert (event["received_at"], event["intake_id"], event["occurred_at"]) == (None, None, "2026-11-23T09:00:00.000Z")
    assert event["raw"]["size"] == len(MAIL)
    assert (gone.name, gone.error and gone.error[0]) == ("gone.eml", "unreadable_file")
    assert empty.error is not None
    assert [event.kind for event in bounce.events] == ["message.received", "receipt.received"]


async def test_with_an_account(tmp_path):
    """An account brings its brand, its form setting and whose authentication counts."""
    account = MailAccount.model_validate(
        {
            "id": "forms",
            "channel": "email",
            "brand": "acme",
            "address": "forms@acme.example",
            "form": True,
            "imap": {"host": "h", "username": "u", "password": "p"},
        }
    )
    (form,) = await read([OfflineMail("form", FIXTURES / "form-from-noreply-with-reply-to.eml")], tmp_path / "spool", account=account)
    assert form.events[0].brand == "acme"
    reply_address = form.events[0].reply_address
    assert reply_address is not None
    assert reply_address["address"] == "bob@client.example"


async def test_nothing_is_left_behind(tmp_path):
    """Memory and disk stay flat: attachments that were written while reading are gone afterwards."""
    files = sorted(FIXTURES.glob("*.eml"))
    results = await read([OfflineMail(path.name, path) for path in files], tmp_path / "spool")
    assert [one.name for one in results] == [path.name for path in files]
    assert list((tmp_path / "spool").iterdir()) == []
