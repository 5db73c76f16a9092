"""The small readings under the parser: charsets, transfer encodings, words, addresses, dates, ids."""
# ruff: noqa: RUF001, E501 - many languages, one case a line

import base64
from datetime import UTC, datetime

import pytest
from ingest_email.parsing import Limits, ParseContext, parse_mail
from ingest_email.parsing.addresses import addresses
from ingest_email.parsing.authentication import authentication
from ingest_email.parsing.charsets import decode
from ingest_email.parsing.fields import date, message_id, message_ids, return_path, thread_index
from ingest_email.parsing.parameters import parameters
from ingest_email.parsing.transfer import decode_base64, decode_transfer
from ingest_email.parsing.words import decode_words

CONTEXT = ParseContext()


@pytest.mark.parametrize(
    ("text", "declared", "encoding"),
    [
        ("注文した商品がまだ届いていません。髙橋①です。" * 5, "shift_jis", "cp932"),
        ("我的订单还没有收到。镕" * 5, "gb2312", "gb18030"),
        ("주문한 상품이 아직 오지 않았습니다. 똠방각하" * 5, "ks_c_5601-1987", "cp949"),
        ("It’s 10 €" * 5, "iso-8859-1", "cp1252"),
        ("שלום" * 5, "iso-8859-8-i", "iso-8859-8"),
        ("Größe" * 5, "us-ascii", "utf-8"),
        ("Größe" * 5, "x-unknown", "utf-8"),
        ("Größe" * 5, None, "utf-8"),
        ("Größe" * 5, "utf-8", "utf-8-sig"),
        ("日本語" * 5, "iso-2022-jp", "iso-2022-jp"),
        ("Grüße" * 5, "unicode-1-1-utf-7", "utf-7"),
        ("Grüße" * 5, "utf-16", "utf-16"),
    ],
)
def test_text_is_read_by_what_clients_mean_with_a_charset(text: str, declared: str | None, encoding: str) -> None:
    assert decode(text.encode(encoding), declared) == text


def test_a_character_cut_in_two_costs_only_itself() -> None:
    text = "Größe und Straße, " * 20
    assert decode((text + "ß").encode()[:-1], "utf-8") == text + "\ufffd"


@pytest.mark.parametrize("name", ["punycode", "idna", "unicode_escape", "rot13", "zlib", "a\x00b", "x" * 1_000, "utf-8; x"])
def test_what_is_no_charset_is_not_used(name: str) -> None:
    assert decode(b"a-b\\u0041 \xc3\xbc", name) == "a-b\\u0041 ü"


def test_lone_surrogates_never_come_out() -> None:
    assert decode(b"a+2AA-b", "utf-7") == "a\ufffdb"
    assert decode_words("=?utf-7?q?a+2AA-b?=") == "a\ufffdb"


@pytest.mark.parametrize(
    ("encoded", "data"),
    [
        (b"SGVs\r\nbG8=\r\n", b"Hello"),
        (b"SGVsbG8", b"Hello"),
        (b"SGVs*bG8=", b"Hello"),
        (b"SGVsbG8=SGVsbG8=", b"HelloHello"),
        (b"SGVsbG8=\r\n\r\nlist footer", b"Hello" + base64.b64decode("listfooter==")),
        (b"SGVsbG8=\r\n-- \r\n", b"Hello"),
        (b"S", b""),
        (b"", b""),
        (b"====", b""),
    ],
)
def test_base64_however_broken(encoded: bytes, data: bytes) -> None:
    assert decode_base64(encoded) == data


def test_other_transfer_encodings() -> None:
    assert decode_transfer(b"a=C3=BC=\r\nb", b" Quoted-Printable ") == b"a\xc3\xbcb"
    assert decode_transfer(b"begin 644 a.txt\n%2&5L;&\\\n`\nend\n", b"x-uuencode") == b"Hello"
    assert decode_transfer(b"a=C3", b"8bit") == b"a=C3"
    assert decode_transfer(b"a=C3", None) == b"a=C3"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=FC?=", "aü"),
        ("=?utf-8?q?=C3?=\t=?utf-8?q?=BC?=", "ü"),
        ("=?utf-8*de?q?x_y?= z", "x y z"),
        ("a =?utf-8?q?b?= c", "a b c"),
        ("=?utf-8?q?two words?=", "two words"),
        ("=?utf-8?x?b?=", "=?utf-8?x?b?="),
        ("=?", "=?"),
    ],
)
def test_encoded_words(text: str, read: str) -> None:
    assert decode_words(text) == read


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (b"ann@a.example", [("ann@a.example", None)]),
        (b'"Lee, Ann" <ann@a.example>, bob@b.example', [("ann@a.example", "Lee, Ann"), ("bob@b.example", None)]),
        (b'"say \\"hi\\"" <ann@a.example>', [("ann@a.example", 'say "hi"')]),
        (b"ann@a.example (Ann Lee)", [("ann@a.example", "Ann Lee")]),
        (b"'Ann Lee' <ann@a.example>", [("ann@a.example", "Ann Lee")]),
        (b"<ann@a.example>", [("ann@a.example", None)]),
        (b"Ann <ann@a.example", [("ann@a.example", "Ann")]),
        (b'"a b"@a.example', [('"a b"@a.example', None)]),
        (b"Ann <@relay.example:ann@a.example>", [("ann@a.example", "Ann")]),
        (b"Group: a@a.example, b@b.example;", [("a@a.example", None), ("b@b.example", None)]),
        (b"ann@a.example; bob@b.example", [("ann@a.example", None), ("bob@b.example", None)]),
        (b"Ann\r\n Lee <ann@a.example>", [("ann@a.example", "Ann Lee")]),
        ("Ann <ann@bücher.example>".encode(), [("ann@bücher.example", "Ann")]),
        (b"=?utf-8?q?Lee=2C_Ann=0ABcc=3A?= <ann@a.example>", [("ann@a.example", "Lee, Ann Bcc:")]),
        (b"nobody, <>, @x, x@, undisclosed-recipients:;", []),
    ],
)
def test_address_fields(field: bytes, found: list[tuple[str, str | None]]) -> None:
    assert [(one.address, one.display_name) for one in addresses([field], 10)] == found


def test_addresses_of_repeated_fields_are_counted_together() -> None:
    assert len(addresses([b"a@a.example, b@a.example", b"c@a.example, d@a.example"], 3)) == 3


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (b" Mon, 23 Nov 2026 10:00:00 +0100", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        (b"23 Nov 2026 10:00 -0530 (comment)", datetime(2026, 11, 23, 15, 30, tzinfo=UTC)),
        (b"Mon, 23 Nov 26 10:00:00 GMT", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 10:00:00 -0000", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 10:00:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        (b"Mon, 23 Nov 2026 23:59:60 +0000", datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)),
        (b"Mon, 31 Feb 2026 10:00:00 +0000", None),
        (b"Mon, 23 Nov 0001 00:00:00 +2300", None),
        (b"Mon, 23 Nov 2026 10:00:00 +9999", datetime(2026, 11, 19, 5, 21, tzinfo=UTC)),
        (b"soon", None),
        (b"", None),
    ],
)
def test_dates(value: bytes, instant: datetime | None) -> None:
    if instant is None and b"0001" in value:
        instant = datetime(1, 11, 22, 1, tzinfo=UTC)
    assert date(value) == instant


def test_message_ids() -> None:
    assert message_ids([b" <a@x>\r\n\t<b@x> <a@x>", b"<c@x>"], 10) == ("a@x", "b@x", "c@x")
    assert message_ids([b"".join(b"<%d@x>" % i for i in range(9))], 4) == ("0@x", "1@x", "7@x", "8@x")
    assert [message_id(one) for one in (b" <a@x> ", b"a@x", b"< a@x >", b"<>", b"", None)] == ["a@x", "a@x", "a@x", None, None, None]


def test_return_paths_and_thread_indexes() -> None:
    assert [return_path(one) for one in (b"<>", b" <a@x.example> ", b"a@x.example", b"", None)] == [
        "",
        "a@x.example",
        "a@x.example",
        None,
        None,
    ]
    root = bytes(range(22))
    assert thread_index(base64.b64encode(root + b"12345")) == root.hex()
    assert thread_index(b"AAAA") is None


def test_parameters_of_broken_senders() -> None:
    assert parameters('text/plain; charset = "utf-8" ;format=flowed') == {"charset": "utf-8", "format": "flowed"}
    assert parameters("x; filename=a b.txt; filename=c.txt") == {"filename": "a b.txt"}
    assert parameters("x; filename*=iso-8859-1'de'%FC.txt") == {"filename": "ü.txt"}
    assert parameters('x; name*1="b.txt"; name*0="a"') == {"name": "ab.txt"}


def test_a_delimiter_counts_only_as_a_line_of_its_own() -> None:
    raw = b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none --b\ntwo --b--\n--bc\n--b--x\n--b--\nepilogue\n"
    assert parse_mail(raw, context=CONTEXT).text == "one --b\ntwo --b--\n--bc\n--b--x"


def test_a_text_sent_as_an_attachment_is_no_body() -> None:
    part = b"--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nlog\n"
    raw = b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nbody\n" + part + b"--b--\n"
    mail = parse_mail(raw, context=CONTEXT)
    assert (mail.text, [one.payload for one in mail.attachments]) == ("body", [b"log"])


def test_a_long_header_is_cut_and_noted() -> None:
    raw = b"From: a@b.example\nSubject: " + b"x" * 500 + b"\nReferences: " + b" ".join(b"<%d@x>" % i for i in range(99)) + b"\n\n"
    mail = parse_mail(raw, context=ParseContext(limits=Limits(header_value_bytes=100)))
    assert mail.subject is not None
    assert len(mail.subject) < 100
    assert (mail.references[0], mail.references[-1], len(mail.references)) == ("0@x", "98@x", 15)
    assert mail.defects == ("long_header",)


PASS = b"dmarc=pass header.from=client.example"


@pytest.mark.parametrize(
    ("fields", "trusted", "passed"),
    [
        ([b"mx.acme.example; " + PASS], "mx.acme.example", True),
        ([b"MX.acme.example 1; " + PASS], "mx.acme.example", True),
        ([b'mx.acme.example; spf=pass smtp.mailfrom="a;b"@x; ' + PASS], "mx.acme.example", True),
        ([b"mx.acme.example; spf=pass (a (b) ; c) smtp.mailfrom=x; " + PASS], "mx.acme.example", True),
        ([b"mx.acme.example; " + PASS], None, False),
        ([b"mx.acme.example; " + PASS], "acme.example", False),
        ([b"mx.acme.example; (" + PASS + b")"], "mx.acme.example", False),
        ([b"mx.acme.example; dmarc=pass"], "mx.acme.example", False),
        ([b"mx.acme.example; dmarc=pass header.from=sub.client.example"], "mx.acme.example", False),
        ([b"mx.acme.example; dmarc=passing header.from=client.example"], "mx.acme.example", False),
        ([b"mx.acme.example; dmarc=fail header.from=client.example; " + PASS], "mx.acme.example", False),
        ([b"mx.acme.example; none", b"mx.acme.example; " + PASS], "mx.acme.example", False),
        ([b"other.example; " + PASS, b"mx.acme.example; " + PASS], "mx.acme.example", True),
        ([b"spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=x; dmarc=pass action=none header.from=client.example;compauth=pass"], "outlook.com", True),
        ([b"spf=pass smtp.mailfrom=x; " + PASS], "mx.acme.example", False),
        ([b"mx.evil.example; none", b"spf=pass smtp.mailfrom=x; " + PASS], "outlook.com", False),
        ([b"spf=fail smtp.mailfrom=x; dmarc=none header.from=client.example;compauth=pass"], "outlook.com", False),
    ],
)  # fmt: skip
def test_only_a_dmarc_pass_of_the_trusted_receiver_counts(fields: list[bytes], trusted: str | None, passed: bool) -> None:
    assert authentication(fields, trusted, "client.example").passed is passed


def test_an_international_domain_is_compared_as_a_label() -> None:
    field = b"mx.acme.example; dmarc=pass header.from=xn--bcher-kva.example"
    assert authentication([field], "mx.acme.example", "Bücher.example").passed
    assert not authentication([field], "mx.acme.example", None).passed
