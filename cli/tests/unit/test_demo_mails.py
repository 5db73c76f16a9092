"""The demo's mails are what real clients would send, and its accounts file is a good one."""

import email
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import yaml
from threadline_cli.demo import cast
from threadline_cli.demo.mails import answer_to, away_notice, letter, photo_png, with_photo

AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def sent_and_read(mail: EmailMessage) -> EmailMessage:
    return email.message_from_bytes(mail.as_bytes(policy=policy.SMTP), policy=policy.SMTP)


def answer() -> EmailMessage:
    made = letter(cast.ANN, "support@acme.test", "Hello", "It left our house.", AT)
    made["Reply-To"] = "support+signed@acme.test"
    made["References"] = "<first@client.test>"
    return sent_and_read(made)


def test_a_letter_survives_the_way_with_its_name_and_photo() -> None:
    read = sent_and_read(with_photo(letter(cast.KENJI, "support@acme.test", "サイズについて", "こんにちは。", AT), "a.png"))
    assert read["Subject"] == "サイズについて"
    assert read["From"].addresses[0].display_name == "田中 健二"
    photo = next(read.iter_attachments())
    assert (photo.get_content_type(), photo.get_filename()) == ("image/png", "a.png")
    assert photo.get_content() == photo_png()


def test_an_answer_goes_to_reply_to_and_is_threaded() -> None:
    answered = answer()
    reply = sent_and_read(answer_to(cast.BEN, answered, "Thanks", AT))
    assert reply["To"] == "support+signed@acme.test"
    assert reply["In-Reply-To"] == answered["Message-ID"]
    assert str(reply["References"]).split() == ["<first@client.test>", str(answered["Message-ID"])]
    assert reply["Subject"] == "Re: Hello"
    assert "> It left our house." in reply.get_content()


def test_an_away_notice_says_that_a_machine_wrote_it() -> None:
    notice = sent_and_read(away_notice(cast.MIA, answer(), AT))
    assert notice["Auto-Submitted"] == "auto-replied"
    assert str(notice["Subject"]).startswith("Automatic reply:")


def test_the_accounts_file_holds_no_password_and_names_every_mailbox() -> None:
    text = cast.accounts_yaml(imap_port=1143, smtp_port=1025, password_file="/tmp/x")
    assert not any(password in text for password in cast.PASSWORDS.values())
    accounts = yaml.safe_load(text)["accounts"]
    assert {each["address"] for each in accounts} <= set(cast.PASSWORDS)
    assert {each["imap"]["port"] for each in accounts} == {1143}
