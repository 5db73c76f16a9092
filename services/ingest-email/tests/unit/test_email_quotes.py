"""The author's own words are told from the quote, and never cut where they stand inside it."""
# ruff: noqa: RUF001, E501 - many languages, one case a line

import pytest
from ingest_email.parsing.html_text import html_to_text
from ingest_email.parsing.quote_languages import LANGUAGES
from ingest_email.parsing.quotes import is_forward_subject, split

QUOTE = "> an old line\n> another"
ATTRIBUTIONS = [
    "On Nov 22, 2026, at 10:00, Acme Support <support@acme.example> wrote:",
    "On 22/11/2026 10:00, Acme Support wrote:",
    "Acme Support wrote:",
    "Am So., 22. Nov. 2026 um 10:00 Uhr schrieb Acme Support <support@acme.example>:",
    "Am 22.11.26 um 10:00 schrieb Acme Support:",
    "Le dim. 22 nov. 2026 à 10:00, Acme Support <support@acme.example> a écrit :",
    "El dom, 22 nov 2026 a las 10:00, Acme Support (<support@acme.example>) escribió:",
    "Em dom., 22 de nov. de 2026 às 10:00, Acme <support@acme.example> escreveu:",
    "Il giorno dom 22 nov 2026 alle ore 10:00 Acme <support@acme.example> ha scritto:",
    "Op zo 22 nov 2026 om 10:00 schreef Acme Support <support@acme.example>:",
    "Den sön 22 nov. 2026 kl 10:00 skrev Acme Support <support@acme.example>:",
    "søn. 22. nov. 2026 kl. 10:00 skrev Acme Support <support@acme.example>:",
    "su 22. marrask. 2026 klo 10.00 Acme Support (support@acme.example) kirjoitti:",
    "niedz., 22 lis 2026 o 10:00 Acme Support <support@acme.example> napisał(a):",
    "W dniu 22.11.2026 o 10:00, Acme Support pisze:",
    "ne 22. 11. 2026 v 10:00 odesílatel Acme <support@acme.example> napsal:",
    "вс, 22 нояб. 2026 г. в 10:00, Acme Support <support@acme.example>:",
    "22.11.2026 10:00, Acme Support пишет:",
    "нд, 22 лист. 2026 р. о 10:00 Acme Support <support@acme.example> пише:",
    "Acme Support <support@acme.example>, 22 Kas 2026 Paz, 10:00 tarihinde şunu yazdı:",
    "Acme Support <support@acme.example> ezt írta (időpont: 2026. nov. 22., V, 10:00):",
    "În dum., 22 nov. 2026 la 10:00, Acme <support@acme.example> a scris:",
    "Στις Κυρ 22 Νοε 2026 στις 10:00 π.μ., ο χρήστης Acme <support@acme.example> έγραψε:",
    "2026年11月22日(日) 10:00 Acme Support <support@acme.example>:",
    "2026/11/22 10:00、Acme Support <support@acme.example>のメール:",
    "Acme Support <support@acme.example> 于2026年11月22日周日 10:00写道\uff1a",
    "2026년 11월 22일 (일) 오전 10:00, Acme Support <support@acme.example>님이 작성:",
]
BLOCKS = {language.code: language for language in LANGUAGES if language.from_labels}


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_an_attribution_belongs_to_the_quote(attribution: str) -> None:
    found = split(f"My answer.\n\n{attribution}\n\n{QUOTE}\n", forward_subject=False)
    assert (found.reply, found.quoted) == ("My answer.", f"{attribution}\n\n{QUOTE}")


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
@pytest.mark.parametrize("above", ["My answer.", "On reflection: yes.\nOn we go.", "22 pieces\nplease", "Le voilà"])
def test_no_line_of_the_answer_is_taken_for_a_part_of_the_attribution(attribution: str, above: str) -> None:
    found = split(f"{above}\n{attribution}\n{QUOTE}", forward_subject=False)
    assert (found.reply, found.quoted) == (above, f"{attribution}\n{QUOTE}")


@pytest.mark.parametrize("attribution", ATTRIBUTIONS[:1] + ATTRIBUTIONS[5:8])
def test_an_attribution_may_be_wrapped(attribution: str) -> None:
    words = attribution.split(" ")
    for at in range(3, len(words)):
        wrapped = " ".join(words[:at]) + "\n" + " ".join(words[at:])
        found = split(f"My answer.\n\n{wrapped}\n{QUOTE}", forward_subject=False)
        assert (found.reply, found.quoted) == ("My answer.", f"{wrapped}\n{QUOTE}")


@pytest.mark.parametrize("code", BLOCKS)
def test_a_header_block_starts_the_quote_in_every_language(code: str) -> None:
    words = BLOCKS[code]
    block = (
        f"{words.from_labels[0].capitalize()}: Acme Support <support@acme.example>\n{words.sent_labels[0].capitalize()}: 22.11.2026 10:00\n"
        f"{words.to_labels[0].capitalize()}: Ann\n{words.subject_labels[0].capitalize()}: order\n\nold text"
    )
    for above in ("", "________________________________\n", f"-----{words.original[0].title()}-----\n"):
        found = split(f"My answer.\n\n{above}{block}", forward_subject=False)
        assert (found.reply, found.quoted) == ("My answer.", above + block)


@pytest.mark.parametrize("code", BLOCKS)
def test_a_forwarded_mail_is_not_cut(code: str) -> None:
    text = f"Please read.\n\n---------- {BLOCKS[code].forwarded[0].capitalize()} ---------\nFrom: x\nold text"
    found = split(text, forward_subject=False)
    assert (found.reply, found.quoted, found.forwarded) == (text, None, True)


@pytest.mark.parametrize(
    "text",
    [
        "On Monday I wrote:\nplease cancel",
        "The label says:\nFrom: Hamburg\nWeight: 3 kg",
        "I wrote:\n- one\n- two",
        "From: the very start it was broken.\nTo: be honest, I am angry.",
        "See http://x.example/a:b\nThe number is 4711:\n12",
        "2026 was a hard year, at 10:00 he wrote:\nnothing",
        "Options:\n-----\nBlue",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    found = split(text, forward_subject=False)
    assert (found.reply, found.quoted, found.signature) == (text, None, None)


def test_answers_between_quoted_lines_are_kept_with_what_they_answer() -> None:
    text = "Hi,\n\n> first?\nyes\n\n> second?\nno\n\nOn 22/11/2026 10:00, a@b.example wrote:\n> old"
    found = split(text, forward_subject=False)
    assert found.reply == "Hi,\n\n> first?\nyes\n\n> second?\nno"
    assert found.quoted == "On 22/11/2026 10:00, a@b.example wrote:\n> old"


def test_an_answer_below_the_quote_is_the_reply() -> None:
    found = split(f"On 22/11/2026 10:00, a@b.example wrote:\n{QUOTE}\n\nBelow.\n-- \nAnn", forward_subject=False)
    assert (found.reply, found.signature) == ("Below.", "Ann")


@pytest.mark.parametrize("text", ["> only a quote", "-- \nonly a signature", "On 1/1/2026 10:00 a@b.example wrote:\n> x", ""])
def test_where_nothing_would_be_left_all_is_shown(text: str) -> None:
    found = split(text, forward_subject=False)
    assert (found.reply, found.quoted) == (text.strip(), None)


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my iPhone",
        "Von meinem iPhone gesendet",
        "Envoyé de mon iPhone",
        "Get Outlook for Android",
        "iPhoneから送信",
        "发自我的iPhone",
    ],
)
def test_the_advertising_line_of_a_phone_is_a_signature(line: str) -> None:
    found = split(f"Yes.\n\n{line}\n\n{ATTRIBUTIONS[0]}\n{QUOTE}", forward_subject=False)
    assert (found.reply, found.signature) == ("Yes.", line)


def test_a_signature_below_the_quote_does_not_make_the_quote_an_answer() -> None:
    found = split(f"Top.\n\n{ATTRIBUTIONS[0]}\n{QUOTE}\n\n-- \nAnn", forward_subject=False)
    assert (found.reply, found.signature) == ("Top.", "Ann")
    assert found.quoted == f"{ATTRIBUTIONS[0]}\n{QUOTE}"


@pytest.mark.parametrize(
    "html", ["<blockquote type=cite></blockquote>", "<div class=gmail_quote><br></div>", "<p> </p><div id=appendonsend></div>"]
)
def test_empty_quotes_are_nothing(html: str) -> None:
    found = split(html_to_text(html), forward_subject=False)
    assert (found.reply, found.quoted) == ("", None)


def test_forward_subjects() -> None:
    subjects = {"Fwd: x": True, "WG: x": True, "转发\uff1ax": True, "FW:x": True, "Re: Fwd: x": False, "forward: x": False, "": False}
    assert {subject: is_forward_subject(subject) for subject in subjects} == subjects


@pytest.mark.parametrize(
    ("html", "reply", "quoted"),
    [
        ("<p>A</p><div id=appendonsend></div><hr><div id=divRplyFwdMsg><b>From:</b> x</div><p>old</p>", "A", "From: x\n\nold"),
        ("<div>A</div><blockquote type=cite>old</blockquote>", "A", "old"),
        ("<div>On 22/11/2026 10:00, x@y.example wrote:</div><blockquote type=cite>old</blockquote><div>A</div>", "A", "On 22/11/2026 10:00, x@y.example wrote:\n\nold"),
        ("<div>A</div><div class='moz-cite-prefix'>On 22/11/2026 10:00, Acme wrote:<br></div><blockquote type='cite'>old</blockquote>", "A", "On 22/11/2026 10:00, Acme wrote:\n\nold"),
        ("<p>A</p><blockquote type=cite>one</blockquote><p>B</p><blockquote type=cite>two</blockquote><p>C</p>", "A\n\none\n\nB\n\ntwo\n\nC", None),
        ("<p>A</p><blockquote>no quote of a client</blockquote>", "A\n\nno quote of a client", None),
    ],
)  # fmt: skip
def test_marks_of_html_clients(html: str, reply: str, quoted: str | None) -> None:
    found = split(html_to_text(html), forward_subject=False)
    assert [line for line in found.reply.split("\n") if line] == [line for line in reply.split("\n") if line]
    assert (found.quoted or "").split() == (quoted or "").split()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div>b<div>c</div>", "a\nb\nc"),
        ("<p>a  b\n c</p><p>d</p>", "a b c\n\nd"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>a\n  b</pre>", "a\nb"),
        ("a&nbsp;b &amp; &lt;c&gt;", "a b & <c>"),
        ("<style>x</style><script>y</script><p style='display: none'>z</p>a", "a"),
        ("<b>bo</b>ld", "bold"),
        ("", ""),
    ],
)
def test_html_reads_as_a_person_sees_it(html: str, text: str) -> None:
    assert html_to_text(html) == text
