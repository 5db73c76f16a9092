"""P8: whatever bytes arrive, the parser ends, raises nothing but its own error, and gives back clean text."""
# ruff: noqa: E501 - hostile mails are one line each

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_email.parsing import Attachment, Limits, MailError, ParseContext, ParsedMail, parse_mail

FOLDER = Path(__file__).parents[1] / "fixtures"
FIXTURES = [path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))]
CONTEXT = ParseContext(trusted_authserv_id="mx.acme.example")
BECOMES_A_HEADER = ("message_id", "in_reply_to", "references", "from_", "sender", "reply_to", "to", "cc", "bcc", "subject", "delivered_to")
QUICKLY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

INTERESTING = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\x00", b"\xff", b"\xed\xa0\x80", b":", b";", b"=", b'"', b"<", b">", b"(", b")", b"\\", b"--b", b"--b--", b",",
        b"=?utf-8?b?7aCA?=", b"=?utf-7?q?+2AA-?=", b"=?idna?q?x?=", b"Content-Type: ", b"multipart/mixed; boundary=b", b"message/rfc822",
        b"text/html; charset=utf-7", b"charset=utf-16", b"Content-Transfer-Encoding: base64\n", b"quoted-printable", b"filename*0*=''%ff",
        b"<div class=gmail_quote>", b"<pre>", b"&#xD800;", b"&#1;", b"From: ", b"> ", b"-- \n", b"On 1.1.2026 10:00 a@b wrote:\n", b" " * 40,
        b"Authentication-Results: mx.acme.example; dmarc=pass header.from=", b"Date: Mon, 99 Foo 99999 99:99:99 +9999\n", b"message/delivery-status",
    ]
)  # fmt: skip


def strings(value: object) -> Iterator[str]:
    """Every string anywhere in a mail."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from strings(one)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from strings(getattr(value, field.name))


def read(raw: bytes) -> ParsedMail | None:
    """The mail, or None where the parser refuses it; a refusal that is our own fault is a failure of the test."""
    try:
        return parse_mail(raw, context=CONTEXT)
    except MailError as error:
        if error.code not in {"empty", "no_header", "too_large"}:
            raise
        return None


def check(mail: ParsedMail | None) -> None:
    if mail is None:
        return
    for text in strings(mail):
        text.encode("utf-8")
        assert "\x00" not in text
    for name in BECOMES_A_HEADER:
        for text in strings(getattr(mail, name)):
            assert not set(text) & {"\r", "\n", "\x00"}, name
    for file in mail.attachments:
        assert file.payload is not None
        assert len(file.payload) == file.size
        for name_or_type in (file.file_name, file.media_type, file.content_id):
            assert not set(name_or_type or "") & set("\r\n\x00/\\" if name_or_type == file.file_name else "\r\n\x00")
    assert mail.date is None or mail.date.utcoffset() == timedelta(0)
    assert mail.reply_text.strip() or not mail.text.strip()


@QUICKLY
@given(st.binary(max_size=2_000))
def test_any_bytes_end_as_a_mail_or_a_reason(raw: bytes) -> None:
    check(read(raw))


@QUICKLY
@given(st.lists(INTERESTING | st.binary(max_size=20), max_size=60))
def test_any_pile_of_mail_pieces_ends_as_a_mail_or_a_reason(pieces: list[bytes]) -> None:
    check(read(b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n" + b"".join(pieces)))
    check(read(b"".join(pieces)))


TAGS = st.sampled_from(
    [
        "<blockquote type=cite>", "</blockquote>", "<div class=gmail_quote>", "<div class='gmail_attr'>", "</div>", "<div id=appendonsend>", "<p>", "<br>", "x", " ",
        "<div class=moz-cite-prefix>On 1/1/2026 10:00 a@b wrote:</div>", "<table><td>", "</table>", "<pre>a\n", "</pre>", "<style>", "<!--", "-->", "<svg>", "<template>",
        "<div style='border-top:solid #E1E1E1'>", "<p hidden>", "<body>", "<html>", "<frameset>", "&#1;", "&#3;", "&nbsp;", "<li>", "<select>", "</p>", "<textarea>",
    ]
)  # fmt: skip


@QUICKLY
@given(st.lists(TAGS, max_size=40))
def test_any_html_ends_as_text(tags: list[str]) -> None:
    check(read(b"From: a@b.example\nContent-Type: text/html\n\n" + "".join(tags).encode()))


@QUICKLY
@given(
    st.sampled_from(FIXTURES),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 60), INTERESTING | st.binary(max_size=8)), max_size=8),
)
def test_a_damaged_mail_ends_as_a_mail_or_a_reason(raw: bytes, cuts: list[tuple[int, int, bytes]]) -> None:
    for at, length, piece in cuts:
        where = at % (len(raw) + 1)
        raw = raw[:where] + piece + raw[where + length :]
    check(read(raw))


@QUICKLY
@given(st.text(max_size=300), st.text(max_size=80))
def test_words_come_back_as_they_were_written(text: str, subject: str) -> None:
    encoded = text.encode("utf-8", "ignore").replace(b"\r", b"").replace(b"\x00", b"")
    raw = b"From: a@b.example\nContent-Type: text/plain; charset=utf-8\n\n" + encoded
    mail = read(raw)
    assert mail is not None
    shown = "".join(char for char in encoded.decode() if char not in "\x01\x02\x03\x04").removeprefix("\ufeff")
    assert mail.text == shown.strip("\n") if shown.strip() else not mail.text.strip()


@pytest.mark.parametrize("raw", FIXTURES[::4])
def test_the_same_bytes_give_the_same_mail(raw: bytes) -> None:
    assert parse_mail(raw, context=CONTEXT) == parse_mail(raw, context=CONTEXT)


def test_the_content_key_ignores_the_way_and_not_the_words() -> None:
    """Design section 5: the same mail in two mailboxes has one key, whatever the hops added; another body has another."""
    raw = (FOLDER / "gmail-reply-alternative.eml").read_bytes()
    key = parse_mail(raw, context=CONTEXT).content_key
    assert parse_mail(b"Received: from x by y; now\r\nDelivered-To: sales@acme.example\r\n" + raw, context=CONTEXT).content_key == key
    assert parse_mail(raw.replace(b"\r\n", b"\n"), context=CONTEXT).content_key == key
    assert parse_mail(raw.replace(b"Thanks!", b"Thanks?"), context=CONTEXT).content_key != key
    assert parse_mail(raw.replace(b"Subject: Re:", b"Subject: Fw:"), context=CONTEXT).content_key != key


def test_mails_that_differ_only_in_parts_that_were_not_walked_have_two_keys() -> None:
    """P2: a duplicate is the same mail, not one that looks alike as far as it was read."""
    context = ParseContext(limits=Limits(parts=3))
    raw = b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 4 + b"--b\n\n%s\n--b--\n"
    one, other = (parse_mail(raw % word, context=context) for word in (b"yes", b"no"))
    assert one.text == other.text
    assert one.content_key != other.content_key


HEAD = b"From: a@b.example\r\nSubject: x\r\n"
HOSTILE = {
    "ten thousand parts": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 10_000 + b"--b--\r\n",
    "ten thousand levels": HEAD + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(10_000)),
    "one boundary ten thousand levels": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 10_000,
    "rfc822 in rfc822": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
    "five megabyte header": HEAD + b"X-Long: " + b"a" * 5_000_000 + b"\r\n\r\nbody",
    "five megabyte subject": b"From: a@b.example\r\nSubject: " + b"=?utf-8?q?a?= " * 350_000 + b"\r\n\r\nbody",
    "five megabyte from": b"From: " + b'"\\"(<,' * 800_000 + b"\r\n\r\nbody",
    "open quotes": b"From: " + b'"\\' * 500_000 + b"\r\nTo: " + b"(" * 500_000 + b"\r\nCc: " + b"<" * 500_000 + b"\r\n\r\nbody",
    "huge references": HEAD + b"References: " + b" ".join(b"<%d@x.example>\r\n" % i for i in range(200_000)) + b"\r\nbody",
    "many references": HEAD + b"References:" + b"".join(b" <%d@x>" % i for i in range(8_000)) + b"\r\n\r\nbody",
    "million header lines": HEAD + b"X: y\r\n" * 300_000 + b"\r\nbody",
    "many parameters": HEAD + b"Content-Type: text/plain" + b"; a*0*=''%41" * 5_000 + b"\r\n\r\nbody",
    "unclosed base64": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 500_000 + b"Q",
    "padding everywhere": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QQ==" * 200_000,
    "nul bytes": HEAD + b"\r\n" + b"\x00" * 500_000,
    "deep html": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div>" * 400_000 + b"x",
    "deep quotes in html": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<blockquote type=cite class=gmail_quote>" * 5_000 + b"x",
    "many quotes in html": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div class=gmail_quote>a</div>b" * 5_000,
    "open tags": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<" * 500_000,
    "many attributions": HEAD + b"\r\n" + b"On 1.1.2026 10:00 a@b.example\r\n" * 30_000,
    "many colons": HEAD + b"\r\n" + b"From: a\r\nwrote:\r\n" * 30_000,
    "one long line": HEAD + b"\r\n" + b"a:" * 1_000_000,
    "many rulers": HEAD + b"\r\n" + b"_____\r\n\r\n" * 50_000 + b"From: a\r\nSent: b\r\nTo: c\r\nSubject: d\r\n",
    "flowed": HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"a \r\n" * 300_000,
    "comments": HEAD + b"Authentication-Results: mx.acme.example; " + b"(" * 60_000 + b"\r\n\r\nbody",
    "quotes in results": HEAD + b"Authentication-Results: mx.acme.example; " + b'"\\' * 30_000 + b"\r\n\r\nbody",
    "blanks": HEAD + b"\r\n" + b" " * 1_000_000 + b"x\r\n" + b" \r\n" * 100_000,
    "punycode charset": HEAD + b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * 200_000 + b"\xff",
    "delivery status": HEAD + b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" + b"Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\r\n" * 20_000,
    "bounce words": b"Return-Path: <>\r\n" + HEAD + b"\r\nThis is the qmail-send program\r\n" + b"<a@b.example>: " * 100_000,
    "only delimiters": HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b" * 500_000,
    "mbox lines": b"From x\n" * 100_000 + HEAD + b"\r\nbody",
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_mail_made_to_hurt_ends_in_bounded_time(name: str) -> None:
    """P8: no recursion, no quadratic time (the timeout is a hundred times what each needs)."""
    check(read(HOSTILE[name]))


def test_what_was_cut_is_said() -> None:
    mail = parse_mail(HOSTILE["ten thousand parts"], context=CONTEXT)
    assert mail.defects == ("too_many_parts",)
    assert mail.text.count("x") == CONTEXT.limits.parts - 1
    assert "too_deep" in parse_mail(HOSTILE["ten thousand levels"], context=CONTEXT).defects
    assert parse_mail(HOSTILE["five megabyte header"], context=CONTEXT).defects == ("long_header",)
    many = parse_mail(HOSTILE["many references"], context=CONTEXT)
    assert len(many.references) == CONTEXT.limits.references
    assert (many.references[0], many.references[-1]) == ("0@x", "7999@x")


def test_limits_are_the_callers() -> None:
    with pytest.raises(MailError, match="too_large"):
        parse_mail(b"From: a@b.example\n\n" + b"x" * 100, context=ParseContext(limits=Limits(total_bytes=100)))
    cut = parse_mail(b"From: a@b.example\n\n" + b"x" * 100, context=ParseContext(limits=Limits(text_bytes=10)))
    assert (cut.text, cut.defects) == ("x" * 10, ("long_text",))


def test_nothing_and_noise_are_refused_with_a_reason() -> None:
    for raw, code in ((b"", "empty"), (b" \r\n ", "empty"), (b"\x89PNG\r\n\x1a\nxxxx", "no_header"), (b"just words\n", "no_header")):
        with pytest.raises(MailError) as raised:
            parse_mail(raw, context=CONTEXT)
        assert raised.value.code == code


def test_files_are_named_without_ways_out() -> None:
    """Platform section 8: a file name is one path part without hidden characters, at most 200 bytes, its extension kept."""
    raw = b'From: a@b.example\nContent-Type: application/pdf; name="%s"\n\nx'
    cases = {
        "../../etc/passwd": "passwd",
        "C:\\temp\\a.txt": "a.txt",
        "a\u202ecod.exe": "acod.exe",
        "é" * 300 + ".pdf": "é" * 98 + ".pdf",
        "...": None,
        "a\tb.txt": "a b.txt",
    }
    for name, expected in cases.items():
        files: tuple[Attachment, ...] = parse_mail(raw % name.replace("\\", "\\\\").encode(), context=CONTEXT).attachments
        assert files[0].file_name == expected
