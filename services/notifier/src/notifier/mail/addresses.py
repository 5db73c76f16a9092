"""Mail addresses as SMTP carries them: the domain as A-label, the local part as the customer spells it."""

from dataclasses import dataclass

import idna

from notifier.mail.headers import UnsendableMailError, refuse_control_characters

__all__ = ["Envelope", "envelope_address", "needs_smtputf8"]

_UNSAFE = frozenset(' \t<>"(),;:\\[]')
_LONGEST = 320


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a mail is from and to on the way, whatever its header says. An empty sender is the null sender."""

    sender: str
    recipients: tuple[str, ...]

    @property
    def smtputf8(self) -> bool:
        """Whether the server must know RFC 6531."""
        return any(needs_smtputf8(address) for address in (self.sender, *self.recipients))


def needs_smtputf8(address: str) -> bool:
    """Whether the address cannot be spelled in ASCII."""
    return not address.isascii()


def envelope_address(field: str, address: str) -> str:
    """The address with its domain as A-label; raises UnsendableMailError where it is not one plain address."""
    refuse_control_characters(field, address)
    local, at, domain = address.strip().rpartition("@")
    if not at or not local or not domain or len(address) > _LONGEST or _UNSAFE & set(local + domain) or not local.isprintable():
        raise UnsendableMailError(f"{field} is not a plain mail address")
    if domain.isascii():
        return f"{local}@{domain}"
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except (idna.IDNAError, UnicodeError) as error:
        raise UnsendableMailError(f"{field} has a domain that is no host name") from error
