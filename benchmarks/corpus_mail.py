"""Writes a corpus of realistic mail, the same one for the same seed: ``python benchmarks/corpus_mail.py DIR --count 2000``.

Not here: measuring (bench_parse.py). All people, hosts and words are made up.
"""
# ruff: noqa: E501 - mails have lines of their own length

import argparse
import base64
import json
import quopri
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus_words import OTHER_WORDS, WORDS

SEED = 20261123


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """What a corpus consists of; printed beside every measurement."""

    mails: int
    bytes: int
    median_bytes: int
    largest_bytes: int
    share_with_html: float
    share_with_attachment: float
    kinds: dict[str, int]


class Writer:
    """Makes one mail after the other from one source of randomness."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0

    def words(self, count: int, language: str = "en") -> str:
        source = OTHER_WORDS.get(language, WORDS)
        return " ".join(self.random.choice(source) for _ in range(count))

    def paragraphs(self, count: int, language: str = "en") -> list[str]:
        return [self.words(self.random.randint(8, 60), language) + "." for _ in range(count)]

    def token(self, size: int = 24) -> str:
        return base64.b32encode(self.random.randbytes(size)).decode().strip("=").lower()

    def wrapped(self, text: str, width: int = 72) -> str:
        lines, line = [], ""
        for word in text.split():
            if len(line) + len(word) + 1 > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        return "\n".join([*lines, line])

    def header(self, subject: str, *more: str, sender: str = "Ann Lee <ann@mail.customer.example>", hops: int = 4) -> str:
        self.number += 1
        day = 1 + self.number % 27
        lines = [f"Return-Path: <{sender.partition('<')[2].rstrip('>')}>", "Delivered-To: support@acme.example"]
        lines += [
            f"Received: from mx{hop}.relay.example (mx{hop}.relay.example [192.0.2.{hop + 1}])\n\tby mx{hop + 1}.acme.example (Postfix)"
            f" with ESMTPS id {self.token(10)}\n\tfor <support@acme.example>; Mon, {day} Nov 2026 09:0{hop}:00 +0000 (UTC)"
            for hop in range(hops)
        ]
        signature = "\n\t ".join(base64.b64encode(self.random.randbytes(48)).decode() for _ in range(4))
        lines += [
            "Authentication-Results: mx.acme.example; dkim=pass header.d=mail.customer.example header.s=s1;\n\tspf=pass (sender permitted)"
            " smtp.mailfrom=ann@mail.customer.example;\n\tdmarc=pass (p=REJECT) header.from=mail.customer.example",
            f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=mail.customer.example; s=s1;\n\th=from:to:subject:date:message-id;"
            f" bh={base64.b64encode(self.random.randbytes(32)).decode()};\n\tb={signature}",
            f"X-Google-Smtp-Source: {self.token(40)}",
            "MIME-Version: 1.0",
            f"Message-ID: <{self.token(16)}@mail.customer.example>",
            f"From: {sender}",
            "To: Acme Support <support@acme.example>",
            f"Subject: {subject}",
            f"Date: Mon, {day} Nov 2026 10:{self.number % 60:02d}:00 +0100",
            *more,
        ]
        return "\n".join(lines) + "\n"

    def threaded(self) -> tuple[str, ...]:
        ids = [f"<{self.token(14)}@acme.example>" for _ in range(self.random.randint(1, 6))]
        return (f"In-Reply-To: {ids[-1]}", "References: " + "\n ".join(ids))

    def alternative(self, text: str, html: str, encoding: str = "quoted-printable") -> tuple[str, str]:
        boundary = self.token(12)
        return (
            f'multipart/alternative; boundary="{boundary}"',
            f'--{boundary}\nContent-Type: text/plain; charset="UTF-8"\nContent-Transfer-Encoding: {encoding}\n\n{encoded(text, encoding)}\n'
            f'--{boundary}\nContent-Type: text/html; charset="UTF-8"\nContent-Transfer-Encoding: {encoding}\n\n{encoded(html, encoding)}\n'
            f"--{boundary}--\n",
        )

    def with_files(self, kind: str, body: str, files: list[tuple[str, str, bytes]], *, related: bool = False) -> tuple[str, str]:
        boundary = self.token(12)
        pieces = [f"--{boundary}\nContent-Type: {kind}\n\n{body}"]
        pieces += [self.file(one, boundary, f"img{index}@x" if related else None) for index, one in enumerate(files)]
        return f'multipart/{"related" if related else "mixed"}; boundary="{boundary}"', "\n".join(pieces) + f"\n--{boundary}--\n"

    def file(self, one: tuple[str, str, bytes], boundary: str, content_id: str | None) -> str:
        name, media_type, data = one
        where = f'attachment; filename="{name}"'
        if content_id is not None:
            where = f'inline; filename="{name}"\nContent-ID: <{content_id}>'
        return (
            f'--{boundary}\nContent-Type: {media_type}; name="{name}"\nContent-Disposition: {where}\nContent-Transfer-Encoding: base64\n\n'
            + base64.encodebytes(data).decode()
        )


def encoded(text: str, encoding: str) -> str:
    """The text in a transfer encoding, with plain line ends."""
    if encoding == "quoted-printable":
        return quopri.encodestring(text.encode()).decode()
    if encoding == "base64":
        return base64.encodebytes(text.encode()).decode()
    return text


def word(text: str, charset: str) -> str:
    """A header value as an encoded word."""
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset, 'replace')).decode()}?="


def plain(w: Writer) -> bytes:
    """A short text, as many clients and scripts send it."""
    text = "\n\n".join(w.wrapped(one) for one in w.paragraphs(w.random.randint(1, 4)))
    head = w.header("Where is my order?", "Content-Type: text/plain; charset=utf-8; format=flowed", "Content-Transfer-Encoding: 8bit")
    return f"{head}\n{text}\n\n-- \nAnn Lee\n".encode()


def gmail(w: Writer) -> bytes:
    """An answer written in Gmail: both bodies, a quote below."""
    own, old = w.paragraphs(2), w.paragraphs(3)
    quoted = "\n".join(f"> {line}" for one in old for line in w.wrapped(one).split("\n"))
    text = (
        "\n\n".join(w.wrapped(one) for one in own)
        + "\n\nOn Mon, Nov 23, 2026 at 9:12 AM Acme Support <support@acme.example>\nwrote:\n\n"
        + quoted
    )
    html = (
        "".join(f'<div dir="ltr">{one}</div><div><br></div>' for one in own)
        + '<br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Mon, Nov 23, 2026 at 9:12 AM Acme Support wrote:<br></div>'
        + '<blockquote class="gmail_quote" style="margin:0 0 0 .8ex;border-left:1px #ccc solid;padding-left:1ex">'
        + "".join(f"<p>{one}</p>" for one in old)
        + "</blockquote></div>"
    )
    kind, body = w.alternative(text, html)
    return f"{w.header('Re: Where is my order?', *w.threaded(), f'Content-Type: {kind}')}\n{body}".encode()


def outlook(w: Writer) -> bytes:
    """An answer written in Outlook: heavy HTML, a header block above the quote, a logo in the signature."""
    own, old = w.paragraphs(2), w.paragraphs(4)
    text = (
        "\n\n".join(own)
        + "\n\nFrom: Acme Support <support@acme.example>\nSent: Monday, November 23, 2026 9:12 AM\nTo: Ann Lee\nSubject: Re: order\n\n"
    )
    style = "".join(
        f"p.MsoNormal{i}, li.MsoNormal{i} {{margin:0cm; font-size:11.0pt; font-family:'Calibri',sans-serif;}}\n" for i in range(25)
    )
    paragraphs = "".join(f'<p class="MsoNormal"><span lang="EN-US" style="font-size:11.0pt">{one}<o:p></o:p></span></p>\n' for one in own)
    html = (
        f'<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!--\n{style}--></style></head><body lang="EN-US">'
        f'<div class="WordSection1">{paragraphs}<img src="cid:img0@x"><div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm">'
        '<p class="MsoNormal"><b>From:</b> Acme Support<br><b>Sent:</b> Monday<br><b>To:</b> Ann<br><b>Subject:</b> Re: order</p></div></div>'
        + "".join(f'<p class="MsoNormal">{one}</p>\n' for one in old)
        + "</div></body></html>"
    )
    kind, body = w.alternative(text + "\n".join(old), html)
    kind, body = w.with_files(kind, body, [("image001.png", "image/png", b"\x89PNG\r\n\x1a\n" + w.random.randbytes(4_000))], related=True)
    more = (*w.threaded(), f"Thread-Index: {base64.b64encode(w.random.randbytes(27)).decode()}", "X-MS-Exchange-Organization-SCL: 1")
    return f"{w.header('RE: order', *more, f'Content-Type: {kind}', 'X-Auto-Response-Suppress: All')}\n{body}".encode()


def apple(w: Writer) -> bytes:
    """Apple Mail: text, picture, text."""
    boundary, data = w.token(12), w.random.randbytes(w.random.randint(20_000, 200_000))
    image = base64.encodebytes(b"\xff\xd8\xff\xe0" + data).decode()
    text = "Content-Type: text/plain;\n\tcharset=us-ascii\nContent-Transfer-Encoding: 7bit\n\n"
    body = (
        f"--{boundary}\n{text}{w.words(30)}\n\n--{boundary}\nContent-Disposition: inline;\n\tfilename=IMG_0042.jpeg\nContent-Type: image/jpeg;\n\t"
        f'name="IMG_0042.jpeg"\nContent-Transfer-Encoding: base64\n\n{image}\n--{boundary}\n{text}{w.words(10)}\n\nSent from my iPhone\n--{boundary}--\n'
    )
    return f"{w.header('Broken parcel', f'Content-Type: multipart/mixed; boundary={boundary}', 'X-Mailer: iPhone Mail (21A329)')}\n{body}".encode()


def newsletter(w: Writer) -> bytes:
    """A big HTML mail of nested tables, with a text beside it in two of three cases."""
    cell = '<td style="padding:4px 8px;font-family:Arial,sans-serif;font-size:14px" align="left" valign="top"><a href="https://t.example/{0}">{1}</a><br>{2}</td>'
    rows = "".join(
        f"<tr>{cell.format(w.token(20), w.words(4), w.words(15))}{cell.format(w.token(20), w.words(4), w.words(15))}</tr>\n"
        for _ in range(w.random.randint(20, 80))
    )
    html = f'<html><head><style>td{{color:#333}}</style></head><body><div style="display:none">Preview</div><table width="600">{rows}</table></body></html>'
    more = ("List-Unsubscribe: <https://t.example/u>", "Precedence: bulk", "List-Id: News <news.shop.example>", "Feedback-ID: 1:2:3:shop")
    if w.random.random() < 0.67:
        kind, body = w.alternative("\n".join(w.paragraphs(8)), html)
        return f"{w.header('Our offers', *more, f'Content-Type: {kind}', sender='Shop <news@shop.example>')}\n{body}".encode()
    head = w.header(
        "Our offers",
        *more,
        "Content-Type: text/html; charset=utf-8",
        "Content-Transfer-Encoding: base64",
        sender="Shop <news@shop.example>",
    )
    return f"{head}\n{encoded(html, 'base64')}".encode()


def asian(w: Writer) -> bytes:
    """Japanese and Chinese mail in the charsets their clients still use."""
    language, charset = w.random.choice([("ja", "iso-2022-jp"), ("ja", "shift_jis"), ("zh", "gb2312"), ("zh", "utf-8"), ("zh", "big5")])
    text = "\n".join(w.words(12, language) for _ in range(8))
    head = w.header(
        word(w.words(3, language), charset), f"Content-Type: text/plain; charset={charset}", "Content-Transfer-Encoding: base64"
    )
    return head.encode() + b"\n" + base64.encodebytes(text.encode(charset, "replace"))


def european(w: Writer) -> bytes:
    """German, French and Russian, 8-bit charsets, an attribution in the language."""
    language, charset, wrote = w.random.choice(
        [
            ("de", "iso-8859-1", "Am 23.11.2026 um 09:12 schrieb Acme Support:"),
            ("fr", "windows-1252", "Le 23 nov. 2026 à 09:12, Acme <support@acme.example> a écrit :"),
            ("ru", "koi8-r", "23.11.2026 9:12, Acme Support пишет:"),
        ]
    )
    text = (
        "\n\n".join(w.wrapped(one) for one in w.paragraphs(3, language))
        + f"\n\n{wrote}\n"
        + "\n".join(f"> {w.words(8, language)}" for _ in range(6))
    )
    head = w.header(
        word(w.words(4, language), charset),
        *w.threaded(),
        f"Content-Type: text/plain; charset={charset}",
        "Content-Transfer-Encoding: quoted-printable",
    )
    return head.encode() + b"\n" + quopri.encodestring(text.encode(charset, "replace"))


def form(w: Writer) -> bytes:
    """What a website sends of a form, HTML only."""
    rows = "".join(f"<tr><th>{name}</th><td>{w.words(5)}</td></tr>" for name in ("Name", "Phone", "Order", "Question"))
    head = w.header(
        "New message from the contact form",
        "Reply-To: bob@client.example",
        "Content-Type: text/html; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        sender="Website <noreply@acme.example>",
        hops=2,
    )
    return f"{head}\n<html><body><table>{rows}</table><p>{w.words(40)}</p></body></html>\n".encode()


def bounce(w: Writer) -> bytes:
    """A delivery status notification of Postfix."""
    boundary = w.token(12)
    body = (
        f"--{boundary}\nContent-Type: text/plain; charset=us-ascii\n\nThis is the mail system at host mx.client.example.\n\n<bob@client.example>: host\n"
        f"    refused: 550 5.1.1 user unknown\n\n--{boundary}\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.client.example\n\n"
        f"Final-Recipient: rfc822; bob@client.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 user unknown\n\n--{boundary}\n"
        f"Content-Type: message/rfc822\n\n{w.header('Your order')}\n{w.words(60)}\n--{boundary}--\n"
    )
    more = ("Auto-Submitted: auto-replied", f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"')
    return f"{w.header('Undelivered Mail Returned to Sender', *more, sender='Mail <mailer-daemon@client.example>')}\n{body}".encode()


def vacation(w: Writer) -> bytes:
    """An absence note."""
    more = ("Auto-Submitted: auto-replied", "Precedence: bulk", "X-Autoreply: yes", "Content-Type: text/plain; charset=utf-8")
    return f"{w.header('Automatic reply: order', *w.threaded(), *more)}\n{w.words(25)}\n".encode()


def files(w: Writer) -> bytes:
    """A text with one to three documents, 30 KB to 600 KB each."""
    kind, body = "text/plain; charset=utf-8", w.words(40)
    data = [
        (f"scan-{i}.pdf", "application/pdf", b"%PDF-1.7" + w.random.randbytes(w.random.randint(30_000, 600_000)))
        for i in range(w.random.randint(1, 3))
    ]
    kind, body = w.with_files(kind, body, data)
    return f"{w.header('The documents', f'Content-Type: {kind}')}\n{body}".encode()


def large(w: Writer) -> bytes:
    """One file of 3 MB to 8 MB."""
    kind, body = w.with_files(
        "text/plain; charset=utf-8", w.words(40), [("video.mp4", "video/mp4", w.random.randbytes(w.random.randint(3_000_000, 8_000_000)))]
    )
    return f"{w.header('A video of it', f'Content-Type: {kind}')}\n{body}".encode()


KINDS: tuple[tuple[Callable[[Writer], bytes], int], ...] = (
    (plain, 150),
    (gmail, 220),
    (outlook, 180),
    (apple, 80),
    (newsletter, 100),
    (asian, 60),
    (european, 70),
    (form, 40),
    (bounce, 30),
    (vacation, 30),
    (files, 35),
    (large, 5),
)


def corpus(count: int, seed: int = SEED) -> Iterator[tuple[str, bytes]]:
    """The name of its kind and the bytes of each mail, with the line ends of the wire."""
    writer = Writer(seed)
    chosen = writer.random.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS], k=count)
    for kind in chosen:
        yield kind.__name__, kind(writer).replace(b"\n", b"\r\n")


def facts(mails: list[tuple[str, bytes]]) -> CorpusFacts:
    """What is in a corpus."""
    sizes = sorted(len(raw) for _, raw in mails)
    kinds: dict[str, int] = {}
    for name, _ in mails:
        kinds[name] = kinds.get(name, 0) + 1
    html = sum(1 for _, raw in mails if b"text/html" in raw)
    attached = sum(1 for _, raw in mails if b"Content-Disposition: attachment" in raw or b"Content-Disposition: inline" in raw)
    return CorpusFacts(
        len(mails), sum(sizes), sizes[len(sizes) // 2], sizes[-1], round(html / len(mails), 3), round(attached / len(mails), 3), kinds
    )


def main() -> None:
    """Writes the files and prints what they are as one JSON line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--count", type=int, default=2_000)
    arguments.add_argument("--seed", type=int, default=SEED)
    chosen = arguments.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    made = list(corpus(chosen.count, chosen.seed))
    for index, (name, raw) in enumerate(made):
        (chosen.folder / f"{index:06d}-{name}.eml").write_bytes(raw)
    found = facts(made)
    print(json.dumps({field: getattr(found, field) for field in CorpusFacts.__slots__}))


if __name__ == "__main__":
    main()
