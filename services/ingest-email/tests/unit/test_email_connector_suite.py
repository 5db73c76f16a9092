"""The mail connector passes what every connector must, over the parser's captured mails."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ingest_email.connectors.email import EmailConnector, ReadMail
from ingest_email.parsing import MailError, ParseContext, parse_mail
from threadline_connectors.errors import PayloadError
from threadline_connectors.testing.connector_suite import ConnectorSuite

TESTS = Path(__file__).parents[1]
ARRIVED = datetime(2026, 11, 23, 9, 0, 2, tzinfo=UTC)


class TestEmailConnector(ConnectorSuite[ReadMail]):
    fixtures = TESTS / "fixtures"
    expected = TESTS / "events"
    suffix = ".eml"

    def connector(self) -> EmailConnector:
        return EmailConnector()

    def payload(self, raw: bytes) -> ReadMail:
        try:
            parsed = parse_mail(raw, context=ParseContext(trusted_authserv_id="mx.acme.example"))
        except MailError as error:
            raise PayloadError(error.code, error.message) from error
        return ReadMail(parsed, ARRIVED, f"{1717:010d}{9032:010d}", raw)

    def redelivered(self, raw: bytes) -> Iterable[bytes]:
        # Another mailbox or another run of the same mail server: trace headers differ. Without a Message-ID the bytes are the name.
        if self.payload(raw).parsed.message_id is not None:
            newline = b"\r\n" if b"\r\n" in raw else b"\n"
            yield b"Received: from mx2.acme.example by imap.acme.example; Mon, 23 Nov 2026 09:00:01 +0000" + newline + raw
            yield b"X-Original-To: sales@acme.example" + newline + raw

    def damaged(self, raw: bytes) -> Iterable[bytes]:
        head, _, _ = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
        for size in (0, 1, 10, len(raw) // 3, len(raw) // 2, len(raw) - 3):
            yield raw[:size]
        for line in head.split(b"\n")[:30]:
            yield raw.replace(line, b"", 1)
            yield raw.replace(line, line.partition(b":")[0] + b": \xff\x00<>@,;", 1)
        yield raw.replace(b"@", b"")
        yield raw.replace(b"\n", b"\n\n")
