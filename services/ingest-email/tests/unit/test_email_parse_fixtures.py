"""What real clients send is read as people mean it: each .eml beside its expected values."""

import json
from pathlib import Path

import pytest
from ingest_email.parsing import Address, ParseContext, ParsedMail, parse_mail

FOLDER = Path(__file__).parents[1] / "fixtures"
CONTEXT = ParseContext(trusted_authserv_id="mx.acme.example")


def person(one: Address | None) -> list[str | None] | None:
    return [one.address, one.display_name] if one is not None else None


def values(mail: ParsedMail) -> dict[str, object]:
    """The mail in the words of the expectation files."""
    report, bounce = mail.report, mail.bounce
    return {
        "message_id": mail.message_id,
        "in_reply_to": mail.in_reply_to,
        "references": list(mail.references),
        "from_": person(mail.from_),
        "original_from": person(mail.original_from),
        "to": [person(one) for one in mail.to],
        "cc": [person(one) for one in mail.cc],
        "reply_to": [person(one) for one in mail.reply_to],
        "return_path": mail.return_path,
        "subject": mail.subject,
        "date": mail.date.isoformat() if mail.date is not None else None,
        "text": mail.text,
        "reply_text": mail.reply_text,
        "quoted_text": mail.quoted_text,
        "signature": mail.signature,
        "part_kinds": [str(one.kind) for one in mail.parts],
        "sniffed": [one.sniffed_type for one in mail.attachments],
        "automatic_sign": mail.automatic_sign,
        "is_auto_reply": mail.is_auto_reply,
        "is_list": mail.is_list,
        "list_id": mail.list_id,
        "is_forward": mail.is_forward,
        "authenticated": mail.authentication.passed,
        "thread_index": mail.thread_index,
        "defects": list(mail.defects),
        "report_kind": str(report.kind) if report is not None else None,
        "original": report.original_external_id if report is not None else None,
        "envelope_id": report.envelope_id if report is not None else None,
        "reporting_host": report.reporting_host if report is not None else None,
        "bounces": [[one.recipient, one.status, str(one.bounce_class)] for one in report.bounces] if report is not None else [],
        "bounce": {
            "recipient": bounce.recipient,
            "status": bounce.status,
            "bounce_class": str(bounce.bounce_class),
            "reason": bounce.reason,
            "original_external_id": bounce.original_external_id,
        }
        if bounce is not None
        else None,
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.eml")), ids=lambda path: path.stem)
def test_a_real_mail_is_read_as_meant(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
    mail = parse_mail(path.read_bytes(), context=CONTEXT)
    for piece in expected.pop("reply_contains", []):
        assert piece in mail.reply_text
    for piece in expected.pop("quoted_contains", []):
        assert mail.quoted_text is not None
        assert piece in mail.quoted_text
        assert piece not in mail.reply_text
    files = expected.pop("files", None)
    if files is not None:
        assert [one.file_name for one in mail.attachments] == [name for name, _, _, _ in files]
        for found, (_, media_type, inline, size) in zip(mail.attachments, files, strict=True):
            assert (found.media_type, found.inline) == (media_type, inline)
            assert size is None or found.size == size
            assert found.payload is not None
            assert len(found.payload) == found.size
    found_values = values(mail)
    assert {name: found_values[name] for name in expected} == expected


def test_every_expectation_has_its_mail() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {path.stem for path in FOLDER.glob("*.eml")}
