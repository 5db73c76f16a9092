"""Finds who wrote a mail that a mailing list sends under its own From address.

Not here: proof. The list vouches for itself only, so what is found is a claim.
"""

from ingest_email.parsing.mail import Address


def original_from(from_: Address | None, reply_to: tuple[Address, ...], named: tuple[Address, ...]) -> Address | None:
    """The author behind ``Ann via List <list@x>``: X-Original-From, else the only Reply-To; None where From is the author."""
    if named:
        return named[0] if from_ is None or named[0].address.lower() != from_.address.lower() else None
    name = from_.display_name if from_ is not None else None
    if from_ is None or name is None or " via " not in name:
        return None
    others = [one for one in reply_to if one.address.lower() != from_.address.lower()]
    if len(others) != 1:
        return None
    return Address(others[0].address, others[0].display_name or name.rpartition(" via ")[0].strip("'\" ") or None)
