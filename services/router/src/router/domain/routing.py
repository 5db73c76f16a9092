"""Where a reply goes: fixed when it is accepted, never guessed again when it is sent.

The channel, account and native thread of the answered message. Not here: which message is answered (`commanding` is told).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from threadline_events.evidence import Evidence
from threadline_events.identity import mail_address_of
from threadline_events.inbound import Attachment
from threadline_events.keys import target_key
from threadline_events.outbound import InReplyTo, MailAddressing, OutboundMessage, Quoted

from router.domain.documents import EntryDocument
from router.domain.policy import Account, Policies
from router.domain.tokens import MailSigner

__all__ = ["Refused", "leaving_account", "names_of", "next_attempt", "outbound_message", "recipient", "reply_subject"]

_QUOTED = 64 * 1024


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """The command cannot be done; the text is the reason's name."""


def leaving_account(answered: EntryDocument, wanted: str | None, policies: Policies) -> Account:
    """The account a reply leaves from: the one asked for (of mail any of the brand, else one it came to), else by To, Cc, the lowest id."""
    here = [a for i in answered.accounts if (a := policies.account(i)) is not None and a.brand == answered.brand]
    if wanted is not None:
        account = policies.account(wanted)
        if account is None or account.brand != answered.brand or account.channel != answered.channel:
            raise Refused("unknown_account")
        if answered.channel != "email" and account not in here:
            # Elsewhere an address is known to one account only; under another it may be somebody else's.
            raise Refused("unknown_account")
        return account
    if not here:
        raise Refused("unknown_account")
    for role in ("to", "cc"):
        named = {mail_address_of(p.identity) for p in answered.participants if p.role == role}
        found = [a for a in here if a.address is not None and a.address.lower() in named]
        if found:
            return min(found, key=lambda a: a.account_id)
    return min(here, key=lambda a: a.account_id)


def recipient(answered: EntryDocument, account: Account) -> dict[str, Any]:
    """The address to answer. A mail's Reply-To counts only where the author is proven or the account is a form's; else it is From."""
    address = answered.reply_address
    if address is None:
        raise Refused("not_answerable")
    own = mail_address_of(answered.author.identity)
    trusted = answered.author.evidence is not Evidence.CLAIMED or account.form
    if answered.channel != "email" or trusted or own is None or str(address.get("address", "")).lower() == own:
        return address
    return {"address": own, "display_name": answered.author.display_name}


def reply_subject(subject: str | None) -> str:
    """The subject unchanged, with one `Re:` before it."""
    subject = (subject or "").strip()
    return subject if subject[:3].lower() == "re:" else f"Re: {subject}".rstrip()


def _mail(signer: MailSigner, account: Account, message_id: str, strand_id: str, attempt: int) -> MailAddressing:
    return MailAddressing(
        message_id=signer.own_message_id(account, message_id, attempt),
        envelope_sender=signer.envelope_sender(account, message_id, attempt),
        reply_to=signer.reply_address(account, strand_id),
    )


def _quoted(answered: EntryDocument) -> Quoted | None:
    if not answered.text:
        return None
    html = next((p.html for p in answered.parts if p.type == "html" and p.html), None)
    author = answered.author.display_name or answered.author.identity.partition(":")[2]
    kept = html if html is not None and len(html) <= _QUOTED else None
    return Quoted(author=author, occurred_at=answered.occurred_at, text=answered.text[:_QUOTED], html=kept)


def outbound_message(
    *,
    message_id: str,
    answered: EntryDocument,
    account: Account,
    strand_id: str,
    text: str,
    html: str | None,
    attachments: Sequence[Attachment],
    signer: MailSigner,
    at: datetime,
) -> OutboundMessage:
    """The first attempt, fully addressed. Only the message answered is quoted, to whom wrote it."""
    is_mail = answered.channel == "email"
    references = (*answered.hints.references, *((answered.external_id,) if answered.external_id else ()))
    return OutboundMessage(
        message_id=message_id,
        conversation_id=strand_id,
        channel=answered.channel,
        account_id=account.account_id,
        brand=answered.brand,
        native_thread=answered.native_thread,
        attempt=1,
        reply_address=recipient(answered, account),
        text=text,
        html=html,
        attachments=tuple(attachments),
        subject=reply_subject(answered.subject) if is_mail else None,
        in_reply_to=InReplyTo(external_id=answered.external_id, references=tuple(dict.fromkeys(references))),
        mail=_mail(signer, account, message_id, strand_id, 1) if is_mail else None,
        quoted=_quoted(answered) if is_mail else None,
        queued_at=at,
    )


def next_attempt(last: OutboundMessage, number: int, policies: Policies, signer: MailSigner, at: datetime) -> OutboundMessage:
    """The same message sent again by a person's decision: an attempt of its own, with names of its own."""
    changed: Mapping[str, object] = {"attempt": number, "queued_at": at}
    account = policies.account(last.account_id)
    if account is None or account.brand != last.brand or account.channel != last.channel:
        raise Refused("unknown_account")
    if last.mail is not None:
        changed = {**changed, "mail": _mail(signer, account, last.message_id, last.conversation_id, number)}
    return last.model_copy(update=changed)


def names_of(outbound: OutboundMessage) -> tuple[str, ...]:
    """The names that answers and receipts will know it by."""
    if outbound.mail is None:
        return ()
    return (target_key(outbound.channel, outbound.account_id, outbound.brand, outbound.mail.message_id),)
