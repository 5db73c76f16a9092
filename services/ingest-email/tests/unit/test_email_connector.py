"""What a parsed mail says, rule by rule."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_email.connectors.email import EmailConnector, ReadMail
from ingest_email.parsing import ParseContext, parse_mail
from threadline_connectors.errors import PayloadError
from threadline_connectors.said import Said
from threadline_events.evidence import Evidence

ARRIVED = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)
TRUSTED = ParseContext(trusted_authserv_id="mx.acme.example")
PASSED = "Authentication-Results: mx.acme.example; dmarc=pass header.from=client.example\r\n"


def said(head: str, body: str = "hi", *, arrived: datetime | None = ARRIVED, **options: Any) -> Said:
    raw = (head.replace("\n", "\r\n") + "\r\n\r\n" + body + "\r\n").encode()
    connector = EmailConnector(**options)
    return connector.parse(ReadMail(parse_mail(raw, context=TRUSTED), arrived, "0" * 20, raw))[0]


ANN = "From: Ann <ann@client.example>\nTo: support@acme.example\nMessage-ID: <m1@client.example>"


@pytest.mark.parametrize(
    ("date", "stands"),
    [
        (ARRIVED - timedelta(hours=3), ARRIVED - timedelta(hours=3)),
        (ARRIVED - timedelta(days=7), ARRIVED - timedelta(days=7)),
        (ARRIVED - timedelta(days=7, seconds=1), ARRIVED),
        (ARRIVED + timedelta(seconds=1), ARRIVED),
        (ARRIVED + timedelta(days=400), ARRIVED),
    ],
)
def test_the_date_is_believed_for_a_week_before_arrival(date, stands):
    """P5: the Date header when it lies within seven days before INTERNALDATE, else INTERNALDATE."""
    assert said(f"{ANN}\nDate: {date:%a, %d %b %Y %H:%M:%S} +0000").occurred_at == stands


def test_without_a_date_the_arrival_stands_and_offline_the_date():
    """P5: there is always the best time that somebody stated."""
    assert said(ANN).occurred_at == ARRIVED
    assert said(f"{ANN}\nDate: Mon, 1 Jan 2001 00:00:00 +0000", arrived=None).occurred_at == datetime(2001, 1, 1, tzinfo=UTC)
    assert said(ANN, arrived=None).occurred_at is None


def test_the_thread_is_the_root_of_the_references():
    """References root, else what it answers, else the mail itself."""
    assert said(f"{ANN}\nReferences: <root@a.example> <mid@a.example>\nIn-Reply-To: <mid@a.example>").native_thread == "root@a.example"
    assert said(f"{ANN}\nIn-Reply-To: <mid@a.example>").native_thread == "mid@a.example"
    assert said(ANN).native_thread == "m1@client.example"


def test_only_dmarc_of_our_own_server_signs():
    """Nobody is believed on From alone."""
    assert said(PASSED.replace("\r\n", "\n") + ANN).author.evidence is Evidence.SIGNED
    assert said(ANN).author.evidence is Evidence.CLAIMED
    assert said(PASSED.replace("\r\n", "\n").replace("mx.acme", "mx.evil") + ANN).author.evidence is Evidence.CLAIMED


def test_dmarc_of_a_list_does_not_speak_for_its_members():
    """A list that rewrites From passes DMARC for itself; who it says wrote is claimed."""
    raw = (Path(__file__).parents[1] / "fixtures" / "google-group-rewritten-author.eml").read_bytes()
    signed = b"Authentication-Results: mx.acme.example; dmarc=pass header.from=acme.example\r\n" + raw
    parsed = parse_mail(signed, context=TRUSTED)
    assert parsed.authentication.passed
    message = EmailConnector().parse(ReadMail(parsed, ARRIVED, "0" * 20, signed))[0]
    assert (message.author.identity, message.author.evidence) == ("email:ann@client.example", Evidence.CLAIMED)


def test_a_foreign_reply_to_gets_nothing_from_a_claimed_author():
    """A forged From with a foreign Reply-To is answered at From, and the difference is noted."""
    forged = said(f"{ANN}\nReply-To: Mallory <mallory@evil.example>")
    assert forged.reply_address == {"address": "ann@client.example", "display_name": "Ann"}
    assert forged.hints.reply_to_differs
    assert ("reply_to", "email:mallory@evil.example") in [(one.role, one.identity) for one in forged.participants]


def test_a_proven_author_and_a_form_choose_where_answers_go():
    """Reply-To is followed when the author is signed, or the account is a website's form."""
    signed = said(f"{PASSED}{ANN}\nReply-To: ann.private@mail.example".replace("\r\n", "\n"))
    assert signed.reply_address == {"address": "ann.private@mail.example", "display_name": None}
    form = "From: Website <noreply@acme.example>\nReply-To: Bob <bob@client.example>\nMessage-ID: <f1@acme.example>"
    assert said(form, follow_reply_to=True).reply_address == {"address": "bob@client.example", "display_name": "Bob"}
    assert said(form).reply_address == {"address": "noreply@acme.example", "display_name": "Website"}


def test_a_reply_to_that_is_the_author_is_no_difference():
    """Case and angle brackets do not make another address."""
    assert not said(f"{ANN}\nReply-To: <ANN@Client.Example>").hints.reply_to_differs


def test_the_subject_token_is_handed_over():
    """Only the router knows whether it is signed."""
    assert said(f"{ANN}\nSubject: Re: Printer [#AC-1042]").hints.subject_token == "AC-1042"
    assert said(f"{ANN}\nSubject: Re: #5 [urgent]").hints.subject_token is None


def test_names_are_those_of_the_design():
    """P2: same Message-ID and content is one mail in a brand; a reused Message-ID or another brand is not; no Message-ID: the bytes."""

    def ids(head: str, body: str = "hi") -> list[str]:
        one = said(head, body)
        return [one.name.message_id(brand, "email", account) for brand, account in (("acme", "a"), ("acme", "b"), ("globex", "a"))]

    same, elsewhere, other_brand = ids(ANN)
    assert same == elsewhere != other_brand
    assert ids(ANN) == ids("Received: by mx2\n" + ANN)
    assert ids(ANN)[0] != ids(ANN, "other words")[0]
    without = ANN.replace("\nMessage-ID: <m1@client.example>", "")
    assert ids(without)[0] != ids(without)[1]
    assert ids(without)[0] == ids(without)[0]


def test_nobody_wrote_it():
    """A mail without any address of an author is a rejection with a reason."""
    with pytest.raises(PayloadError) as caught:
        said("Subject: hello\nTo: support@acme.example")
    assert caught.value.code == "no_author"


OWN_WORDS = "This is the mail system at host mx.client.example.\n\n<bob@client.example>: 550 5.1.1 user unknown\n"


def test_a_bounce_that_returns_no_message_id_still_tells_a_failure():
    """The envelope sender that we signed names what came back; the connector hands over the addresses and names nothing itself."""
    head = "From: MAILER-DAEMON@mx.client.example\nReturn-Path: <>\nDelivered-To: support+babc1@acme.example\nMessage-ID: <b1@mx>"
    raw = (head + "\n\n" + OWN_WORDS).replace("\n", "\r\n").encode()
    _, receipt = EmailConnector().parse(ReadMail(parse_mail(raw, context=TRUSTED), ARRIVED, "0" * 20, raw))
    assert receipt.kind == "receipt.received"
    assert receipt.relates_to.receipt is not None
    assert (receipt.relates_to.receipt.of, receipt.relates_to.receipt.status) == (None, "failed")
    assert "support+babc1@acme.example" in receipt.hints.reply_tokens


@given(st.binary(max_size=400), st.sampled_from(["From", "Reply-To", "To", "Date", "Message-ID", "References", "Content-Type", "Subject"]))
def test_no_header_breaks_the_connector(value, name):
    """Whatever stands in a header, a mail is read or refused by a reason."""
    raw = ANN.replace("\n", "\r\n").encode() + b"\r\n" + name.encode() + b": " + value + b"\r\n\r\nhi\r\n"
    parsed = parse_mail(raw, context=TRUSTED)
    try:
        (message, *_) = EmailConnector().parse(ReadMail(parsed, ARRIVED, "0" * 20, raw))
    except PayloadError as error:
        assert error.code == "no_author"  # noqa: PT017 - the other way to end is to be read
        return
    assert message.author.identity.startswith("email:")
