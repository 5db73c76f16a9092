"""What servers answer is read right, and names travel as IMAP wants them."""

import base64
import re
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_email.imap.answers import Mailbox, Refusal, internal_date, read_fetch, read_mailbox, read_search, refusal_of, search_date
from ingest_email.imap.names import encode_mailbox, quote


def test_fetch_answers_with_attributes_on_both_sides_of_the_literal():
    """The UID may stand before or after the mail's bytes; the bytes are kept exactly."""
    lines = [
        b"1 FETCH (UID 5 RFC822.SIZE 30 BODY[] {12}",
        bytearray(b"a)b(\r\nUID 99"),
        b" FLAGS (\\Seen))",
        b"2 FETCH (BODY[] {3}",
        bytearray(b"xyz"),
        b' UID 6 INTERNALDATE " 5-Nov-2026 10:00:01 +0100")',
        b"Fetch completed.",
    ]
    first, second = read_fetch(lines)
    assert (first.uid, first.size, first.body) == (5, 30, b"a)b(\r\nUID 99")
    assert (second.uid, second.body, second.internal_date) == (6, b"xyz", datetime(2026, 11, 5, 9, 0, 1, tzinfo=UTC))


def test_fetch_of_what_is_gone_and_what_nobody_asked_for():
    """A vanished mail is no answer; another session's flags have no UID; a short body may be quoted."""
    assert read_fetch([b"done"]) == []
    assert read_fetch([b"9 FETCH (FLAGS (\\Seen))", b"done"]) == []
    (item,) = read_fetch([b'1 FETCH (UID 7 BODY[] "a\\"b")', b"done"])
    assert item.body == b'a"b'
    (empty,) = read_fetch([b"1 FETCH (UID 7 BODY[] NIL)", b"done"])
    assert empty.body is None


def test_search_answers():
    """UIDs come in any order, over several lines, or not at all; the tagged text is none of them."""
    assert read_search([b"9 3", b"3 12", b"Search completed (0.001 + 0.000 secs)."]) == [3, 9, 12]
    assert read_search([b"", b"done 1"]) == []


def test_mailbox_answers():
    """UIDVALIDITY is needed, the rest may be missing."""
    lines = [
        b"FLAGS (\\Seen)",
        b"OK [PERMANENTFLAGS (\\Seen \\*)] Flags.",
        b"214 EXISTS",
        b"OK [UIDVALIDITY 1717] ok",
        b"OK [UIDNEXT 9032] next",
        b"done",
    ]
    assert read_mailbox(lines) == Mailbox(1717, 9032, 214, keywords=True)
    assert read_mailbox([b"OK [UIDVALIDITY 1] ok", b"done"]) == Mailbox(1, 0, 0, keywords=False)
    with pytest.raises(ValueError, match="UIDVALIDITY"):
        read_mailbox([b"214 EXISTS", b"done"])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("22-Nov-2026 10:00:01 +0000", datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)),
        (" 2-nov-2026 01:00:00 +0530", datetime(2026, 11, 1, 19, 30, tzinfo=UTC)),
        ("31-Dec-2016 23:59:60 +0000", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("30-Feb-2026 10:00:01 +0000", None),
        ("22-Nov-2026 10:00:01 +9900", None),
        ("yesterday", None),
    ],
)
def test_internal_dates(text, moment):
    """An INTERNALDATE is an aware time in UTC, or nothing."""
    assert internal_date(text) == moment


def test_search_dates_do_not_depend_on_the_locale():
    """Months are English."""
    assert search_date(date(2026, 3, 1)) == "1-Mar-2026"


@pytest.mark.parametrize(
    ("line", "refusal", "code"),
    [
        (b"[AUTHENTICATIONFAILED] Authentication failed for ann@client.test", Refusal.CREDENTIALS, "AUTHENTICATIONFAILED"),
        (b"[UNAVAILABLE] try later", Refusal.BUSY, "UNAVAILABLE"),
        (b"[NONEXISTENT] Unknown Mailbox", Refusal.MISSING, "NONEXISTENT"),
        (b"no", Refusal.OTHER, "NO"),
    ],
)
def test_refusals_are_classified_by_code(line, refusal, code):
    """What follows from a refusal goes by its code; the server's words, which may name people, are not repeated."""
    assert refusal_of([line]) == (refusal, code)


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", '"INBOX"'),
        ("Été & Co", '"&AMk-t&AOk- &- Co"'),
        ("受信箱", '"&U9dP4Xux-"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("😀", '"&2D3eAA-"'),
    ],
)
def test_mailbox_names(name, wire):
    """RFC 3501 5.1.3 and section 9."""
    assert encode_mailbox(name) == wire


@given(st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_every_mailbox_name_is_one_argument_and_itself(name):
    """Whatever a folder is called, its name is one quoted ASCII string, and the coded pieces spell it again."""
    wire = encode_mailbox(name)
    assert wire.isascii()
    assert wire[0] == wire[-1] == '"'
    plain = re.sub(r"\\(.)", r"\1", wire[1:-1])
    assert re.sub(r"&([^-]*)-", lambda coded: spelled(coded[1]), plain) == name


def spelled(coded: str) -> str:
    data = coded.replace(",", "/")
    return base64.b64decode(data + "=" * (-len(data) % 4)).decode("utf-16-be") if coded else "&"


@pytest.mark.parametrize("evil", ["a\r\nA1 DELETE INBOX", "a\0b", "é\n"])
def test_names_cannot_end_a_command(evil):
    """CR, LF and NUL are refused, never escaped."""
    with pytest.raises(ValueError, match="CR, LF and NUL"):
        encode_mailbox(evil)
    with pytest.raises(ValueError, match="CR, LF and NUL"):
        quote(evil)


@given(st.lists(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(bytearray)), max_size=12))
def test_no_answer_of_a_server_breaks_the_reader(lines):
    """Whatever a server sends is read or left out, never an error of ours."""
    read_fetch(lines)
    refusal_of(lines)
    if lines:
        read_search(lines)
