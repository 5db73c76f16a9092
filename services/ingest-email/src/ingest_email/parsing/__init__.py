"""The mail parser: bytes in, typed mail out.

``parse_mail`` is pure; ``ParserPool`` runs it in processes that can be killed. Not here: IMAP, and making events.
"""

from ingest_email.parsing.limits import DEFAULT_LIMITS, Limits
from ingest_email.parsing.mail import (
    Address,
    Attachment,
    Authentication,
    BodyPart,
    Bounce,
    BounceClass,
    MailError,
    ParseContext,
    ParsedMail,
    PartKind,
    Report,
    ReportKind,
)
from ingest_email.parsing.parser import parse_mail
from ingest_email.parsing.workers import ParserPool, WorkerError

__all__ = [
    "DEFAULT_LIMITS",
    "Address",
    "Attachment",
    "Authentication",
    "BodyPart",
    "Bounce",
    "BounceClass",
    "Limits",
    "MailError",
    "ParseContext",
    "ParsedMail",
    "ParserPool",
    "PartKind",
    "Report",
    "ReportKind",
    "WorkerError",
    "parse_mail",
]
