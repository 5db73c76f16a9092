"""The bytes of a reply: what any reader gets back from them, and that no value can break out of its header."""

import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from notifier.mail.addresses import envelope_address
from notifier.mail.compose import AttachedFile, Mailbox, compose
from notifier.mail.headers import UnsendableMailError
from notifier.mail.references import thread_ids
from notifier.testing.store_suite import outbound
from threadline_events.outbound import InReplyTo, MailAddressing, OutboundMessage, Quoted

SUPPORT = Mailbox("support@acme.test", "Acme Support")
ANN = Mailbox("ann@client.test", "Ann Lee")
ASKED_AT = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)

unbroken = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\0"), min_size=1, max_size=300)
readable = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=120)
ids = st.from_regex(r"[A-Za-z0-9.+/=_$-]{1,200}@[a-z0-9.-]{1,60}", fullmatch=True)


def reply(**changes: Any) -> OutboundMessage:
    return outbound().model_copy(update=changes)


def read(content: bytes) -> EmailMessage:
    return cast("EmailMessage", message_from_bytes(content, policy=default))


def raw_header(content: bytes, name: str) -> str:
    """A header as it stands in the bytes, unfolded."""
    head = content.partition(b"\r\n\r\n")[0].decode()
    found = re.search(rf"(?ms)^{name}: ?(.*?)\r\n(?![ \t])", head + "\r\n")
    assert found is not None
    return re.sub(r"\r\n[ \t]", " ", found[1])


def text_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return cast("str", part.get_content()).replace("\r\n", "\n")


def test_a_reply_has_what_threads_it() -> None:
    """The customer's client puts it below the mail it answers."""
    message = reply(in_reply_to=InReplyTo(external_id="ask-2@client.test", references=("ask-1@client.test",)))
    mail = compose(message, SUPPORT, ANN, [])
    parsed = read(mail.content)
    assert parsed["From"] == "Acme Support <support@acme.test>"
    assert parsed["To"] == "Ann Lee <ann@client.test>"
    assert parsed["Reply-To"] == "Acme Support <support+token@acme.test>"
    assert parsed["Subject"] == "Re: Where is my order?"
    assert parsed["Date"] == "Mon, 23 Nov 2026 09:00:00 +0000"
    assert parsed["Message-ID"] == "<m_1.1@acme.test>"
    assert parsed["In-Reply-To"] == "<ask-2@client.test>"
    assert parsed["References"] == "<ask-1@client.test> <ask-2@client.test>"
    assert mail.envelope.sender == "bounce+m_1@acme.test"
    assert mail.envelope.recipients == ("ann@client.test",)
    assert "Auto-Submitted" not in parsed
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]


@settings(deadline=None)
@given(st.lists(ids, max_size=30), ids)
def test_ids_are_never_encoded(references: list[str], answered: str) -> None:
    """A Microsoft id is longer than a line; encoded by RFC 2047 it would break the thread."""
    content = compose(reply(in_reply_to=InReplyTo(external_id=answered, references=tuple(references))), SUPPORT, ANN, []).content
    assert raw_header(content, "In-Reply-To") == f"<{answered}>"
    chain = raw_header(content, "References").split()
    assert chain[-1] == f"<{answered}>"
    assert set(chain) <= {f"<{one}>" for one in [*references, answered]}
    assert len(chain) <= 11
    earlier = [one for one in dict.fromkeys(references) if one != answered]
    if earlier:
        assert chain[0] == f"<{earlier[0]}>"


def test_a_long_chain_keeps_its_lines_legal() -> None:
    """RFC 5322: no line above 998 octets, however long the ids of a thread are."""
    chain = tuple(f"{number}{'q' * 300}@client.test" for number in range(40))
    content = compose(reply(in_reply_to=InReplyTo(external_id=chain[-1], references=chain[:-1])), SUPPORT, ANN, []).content
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert raw_header(content, "References").split() == [f"<{one}>" for one in (chain[0], *chain[-10:])]


@settings(deadline=None)
@given(unbroken)
def test_any_subject_comes_back(subject: str) -> None:
    """Subject unchanged, whatever its language."""
    parsed = raw_header(compose(reply(subject=subject), SUPPORT, ANN, []).content, "Subject")
    assert decode(parsed) == subject


@settings(deadline=None)
@given(readable, readable)
def test_any_name_comes_back(ours: str, theirs: str) -> None:
    """Names beside addresses survive commas, quotes and every script, and never become a second address."""
    content = compose(reply(), Mailbox("support@acme.test", ours), Mailbox("ann@client.test", theirs), []).content
    for name, address, shown in (("From", "support@acme.test", ours), ("To", "ann@client.test", theirs)):
        raw = raw_header(content, name)
        assert raw.endswith(f" <{address}>")
        phrase = raw.removesuffix(f" <{address}>")
        unquoted = re.sub(r"\\(.)", r"\1", phrase[1:-1]) if phrase.startswith('"') else decode(phrase)
        assert unquoted == shown
        assert [one.addr_spec for one in read(content)[name].addresses] == [address]


def decode(raw: str) -> str:
    """RFC 2047, without the standard library's liberties about spaces."""
    words = re.sub(r"\?= =\?", "?==?", raw)
    return re.sub(r"=\?utf-8\?b\?(.*?)\?=", lambda match: b64decode(match[1]).decode(), words)


@settings(deadline=None)
@given(st.text(max_size=3000), st.text(max_size=500))
def test_lines_stay_legal_and_text_comes_back(text: str, quoted: str) -> None:
    """No line above 998 octets, CRLF only, and the words are the agent's."""
    message = reply(text=text, quoted=Quoted(author="Ann Lee", occurred_at=ASKED_AT, text=quoted))
    content = compose(message, SUPPORT, ANN, []).content
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\0" not in content
    plain = text_of(read(content), "plain")
    expected = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd").rstrip("\n")
    assert plain.startswith(expected + "\n")


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n\0/\\", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=200))
@example('""')
def test_any_file_name_comes_back(name: str) -> None:
    """RFC 2231: a name of any length and script."""
    content = compose(reply(), SUPPORT, ANN, [AttachedFile(b"%PDF", "application/pdf", name)]).content
    (attachment,) = read(content).iter_attachments()
    # Not `get_filename`, which takes quotes that belong to the name for quotes around it.
    assert attachment["Content-Disposition"].params.get("filename", "").strip() == name.strip()
    assert attachment.get_content() == b"%PDF"


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x7f"])
def test_what_nobody_can_see_is_left_out_of_a_file_name(odd: str) -> None:
    """A reply must not end as uncertain because of a control character in it."""
    mail = compose(reply(), SUPPORT, ANN, [AttachedFile(b"x", "text/plain", f"off{odd}er.txt")])
    assert [part.get_filename() for part in read(mail.content).iter_attachments()] == ["offer.txt"]


def test_a_repeat_is_the_same_bytes() -> None:
    """P4: the same mail again, not a like one."""
    files = [AttachedFile(b"\x89PNG", "image/png", "a.png", "logo@acme"), AttachedFile(b"%PDF", "application/pdf", "b.pdf")]
    assert compose(reply(), SUPPORT, ANN, files).content == compose(reply(), SUPPORT, ANN, files).content
    assert compose(reply(), SUPPORT, ANN, files).content != compose(reply(attempt=2), SUPPORT, ANN, files).content


def test_inline_pictures_stand_beside_the_html() -> None:
    """The HTML names its picture; other files are attachments."""
    message = reply(html='<p>See <img src="cid:logo@acme"></p><script>steal()</script>')
    files = [AttachedFile(b"\x89PNG", "image/png", "a.png", "logo@acme"), AttachedFile(b"%PDF", "application/pdf", "b.pdf")]
    parsed = read(compose(message, SUPPORT, ANN, files).content)
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    html = text_of(parsed, "html")
    assert 'src="cid:logo@acme"' in html
    assert "script" not in html
    assert [part["Content-ID"] for part in parsed.walk() if part["Content-ID"]] == ["<logo@acme>"]


def test_the_answered_message_is_quoted_below() -> None:
    """With who and when, in text and in HTML; the customer's HTML is made safe and its pictures left out."""
    quoted = Quoted(
        author="Ann Lee",
        occurred_at=ASKED_AT,
        text="Where is it?\n> older\n\nAnn",
        html='<p onclick="x()">Where <b>is</b> it?</p><img src="http://track.test/1.gif"><script>x()</script>',
    )
    parsed = read(compose(reply(quoted=quoted), SUPPORT, ANN, []).content)
    assert text_of(parsed, "plain") == (
        "Your parcel is on its way.\n\nOn Sun, 22 Nov 2026 at 18:30 UTC, Ann Lee wrote:\n> Where is it?\n>> older\n>\n> Ann\n"
    )
    html = text_of(parsed, "html")
    assert "<p>Where <b>is</b> it?</p>" in html
    assert '<blockquote type="cite"' in html
    for foreign in ("track.test", "onclick", "script"):
        assert foreign not in html


def test_text_of_an_agent_is_escaped_in_the_html() -> None:
    """What an agent types is text, not markup."""
    html = text_of(read(compose(reply(text="1 < 2 & <b>\n  indented"), SUPPORT, ANN, []).content), "html")
    assert "1 &lt; 2 &amp; &lt;b&gt;<br>\n&nbsp;&nbsp;indented" in html


def with_mail(**changes: str) -> OutboundMessage:
    mail = outbound().mail
    assert mail is not None
    return reply(mail=MailAddressing(**{**mail.model_dump(), **changes}))


@pytest.mark.parametrize("bad", ["\r\nBcc: eve@evil.test", "\nX: y", "\r", "\0"])
@pytest.mark.parametrize(
    "place",
    [
        "subject",
        "our name",
        "their name",
        "to",
        "from",
        "reply_to",
        "message_id",
        "envelope_sender",
        "answered",
        "reference",
        "file",
        "cid",
        "type",
    ],
)
def test_nothing_breaks_out_of_its_header(place: str, bad: str) -> None:
    """Security: CR, LF and NUL are refused in everything that becomes a header."""
    file = AttachedFile(b"x", "image/png", "a.png", "logo@acme")
    message, sender, recipient = reply(), SUPPORT, ANN
    match place:
        case "subject":
            message = reply(subject="Re: Order" + bad)
        case "our name":
            sender = replace(SUPPORT, display_name="Acme" + bad)
        case "their name":
            recipient = replace(ANN, display_name="Ann" + bad + " Lee")
        case "to":
            recipient = replace(ANN, address=f"ann{bad}@client.test")
        case "from":
            sender = replace(SUPPORT, address=f"support@acme{bad}.test")
        case "reply_to" | "message_id" | "envelope_sender":
            message = with_mail(**{place: f"a{bad}b@acme.test"})
        case "answered":
            message = reply(in_reply_to=InReplyTo(external_id=f"a{bad}b@client.test"))
        case "reference":
            message = reply(in_reply_to=InReplyTo(external_id="a@client.test", references=(f"a{bad}b@client.test",)))
        case "file":
            file = replace(file, file_name=f"a{bad}.png")
        case "cid":
            file = replace(file, content_id=f"a{bad}b@acme")
        case "type":
            file = replace(file, media_type=f"image/png{bad}")
    with pytest.raises(UnsendableMailError) as raised:
        compose(message, sender, recipient, [file])
    assert "evil" not in str(raised.value)


def test_a_domain_of_any_script_travels_in_ascii() -> None:
    """IDNA: no SMTPUTF8 is needed for it; a local part of another script needs it."""
    assert envelope_address("To", "ann@straße.example") == "ann@xn--strae-oqa.example"
    plain = compose(reply(), SUPPORT, Mailbox("ann@bücher.example"), [])
    assert not plain.envelope.smtputf8
    assert raw_header(plain.content, "To") == "<ann@xn--bcher-kva.example>"
    assert compose(reply(), SUPPORT, Mailbox("änn@client.test"), []).envelope.smtputf8


@pytest.mark.parametrize(
    "address",
    ["ann", "@client.test", "ann@", "a b@client.test", "<ann@client.test>", "ann@client.test,eve@evil.test", "ann@\u2024\u2024"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """P4: a mail goes to the one address the router fixed, or to nobody."""
    with pytest.raises(UnsendableMailError):
        envelope_address("To", address)


def test_an_id_no_header_can_carry_is_left_out() -> None:
    """A broken id of the customer's client must not stop the reply."""
    assert thread_ids(["a b@client.test", "ok@client.test"], "ü@client.test") == (None, ("ok@client.test",))


def test_without_addressing_there_is_no_mail() -> None:
    """Only the router signs; without its Message-ID nothing is sent."""
    with pytest.raises(UnsendableMailError, match="router"):
        compose(reply(mail=None), SUPPORT, ANN, [])
